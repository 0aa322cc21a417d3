"""Other loaders on the same shards, in turn with streamaug, each in a process of its own.

In: names of peers and the chain that is measured. Out: images/s and core-milliseconds of each. All do the same work: a
random crop resized to the recipe's size, a flip, float32 normalised; streamaug does it with `imagenet_train`.
"""

from streamaug.cli.bench.peers.comparison import NAMES, Peers

__all__ = ["NAMES", "Peers"]
