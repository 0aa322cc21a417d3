"""Every exception that streamaug raises on purpose, as one tree.

    StreamaugError
    ├── StorageError        also an OSError
    ├── ShardError
    │   └── IndexFormatError
    ├── BadSampleError
    │   └── TargetError
    ├── RecipeError         also a ValueError
    └── StateError          also a ValueError

Each message names the rule, the value that breaks it, the field or stage, and one concrete fix. A wrong argument
without a class of its own is a plain `ValueError`. This module imports nothing else of the package.
"""

__all__ = [
    "BadSampleError",
    "IndexFormatError",
    "RecipeError",
    "ShardError",
    "StateError",
    "StorageError",
    "StreamaugError",
    "TargetError",
]


class StreamaugError(Exception):
    """The root of this package's errors; wrong arguments are plain `ValueError`s and `TypeError`s."""


class StorageError(StreamaugError, OSError):
    """Bytes cannot be read: a missing object, a refused request, a deadline that passed. Names the shard."""


class ShardError(StreamaugError):
    """Bytes are no valid shard: truncated, foreign, duplicate members. Names the shard and the offset."""


class IndexFormatError(ShardError):
    """An index file or manifest breaks the rules of its format. Names the file and the line."""


class BadSampleError(StreamaugError):
    """One sample cannot be used: its image does not decode, or a component is missing. Names key and shard."""


class TargetError(BadSampleError):
    """A sample's label is not an ASCII integer in range. Names key and shard."""


class RecipeError(StreamaugError, ValueError):
    """An operation's parameter, or the order of a recipe's operations, makes no sense."""


class StateError(StreamaugError, ValueError):
    """A saved state belongs to another dataset, seed or order. Names the field that differs."""
