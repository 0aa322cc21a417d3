"""`streamaug batch`: the images that a training step was given."""

from streamaug.cli.batch.command import configure, run

__all__ = ["configure", "run"]
