"""`streamaug check`: a command over an inspector of shards, their manifests, duplicate keys and decoding."""

from streamaug.cli.check.command import configure, run

__all__ = ["configure", "run"]
