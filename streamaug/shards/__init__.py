"""The shards of a dataset, their counts of samples, and the positions of the samples in them.

manifest, counts (of all shards) → shard_set → index_reader (of one shard: index | scan of the tar, checksum, stale)

A name's module is imported where the name is first asked for, so that a command that only writes shards starts without
the catalogue and the orders.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamaug.shards.catalogue import Shard
    from streamaug.shards.index import ShardIndex
    from streamaug.shards.shard_set import ShardSet

__all__ = ["Shard", "ShardIndex", "ShardSet"]

_HOMES = {"Shard": "catalogue", "ShardIndex": "index", "ShardSet": "shard_set"}


def __getattr__(name: str) -> Any:
    """A name of `__all__`, imported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"streamaug.shards.{_HOMES[name]}"), name)
