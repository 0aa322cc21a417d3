"""What there is: the shards of a dataset, how many samples each holds, and where these lie.

manifest, counts (of all shards) → shard_set → index_reader (of one shard: index | scan of the tar, checksum, stale)
"""

from streamaug.shards.catalogue import Shard
from streamaug.shards.index import ShardIndex
from streamaug.shards.shard_set import ShardSet

__all__ = ["Shard", "ShardIndex", "ShardSet"]
