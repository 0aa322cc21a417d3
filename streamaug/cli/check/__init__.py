"""`streamaug check`: the command, and its inspection of shards, manifests, duplicate keys and decoding."""

from streamaug.cli.check.command import configure, run

__all__ = ["configure", "run"]
