"""`streamaug bench`: the limit of a loader on this machine and these shards, and its distance from the limit."""

from streamaug.cli.bench.command import configure, run

__all__ = ["configure", "run"]
