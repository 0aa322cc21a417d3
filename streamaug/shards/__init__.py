"""The shards of a dataset, their counts of samples, and the positions of the samples in them.

manifest, counts (of all shards) → shard_set → index_reader (of one shard: index | scan of the tar, checksum, stale)
"""

from streamaug.shards.catalogue import Shard
from streamaug.shards.index import ShardIndex
from streamaug.shards.shard_set import ShardSet

__all__ = ["Shard", "ShardIndex", "ShardSet"]
