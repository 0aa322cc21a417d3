"""`streamaug bench`: what bounds a loader on this machine and these shards, and how far it is from the limit."""

from streamaug.cli.bench.command import configure, run

__all__ = ["configure", "run"]
