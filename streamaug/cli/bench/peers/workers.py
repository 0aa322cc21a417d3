"""webdataset in DataLoader workers, around the transform of a peer."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import webdataset

from streamaug.cli.bench.peers.options import PeerOptions


def loaded(options: PeerOptions, transform: Callable[[bytes], Any]) -> Iterator[int]:
    """Endless batches; of each the number of images."""
    torch.set_num_threads(1)
    dataset = webdataset.WebDataset(options.paths, shardshuffle=len(options.paths), seed=1).repeat().shuffle(500)
    if options.labels:
        dataset = dataset.to_tuple(";".join(options.images), ";".join(options.labels)).map_tuple(transform, int)
    else:
        dataset = dataset.to_tuple(";".join(options.images)).map_tuple(transform)
    loader = webdataset.WebLoader(
        dataset.batched(options.batch_size),
        batch_size=None,
        num_workers=min(options.workers, len(options.paths)),
        prefetch_factor=2,
    )
    for batch in loader:
        yield len(batch[0])
