"""A chain inside torchdata: as a node, and in its stateful loader, resumed exactly."""

import warnings

import pytest
from reading import reader
from torchdata.nodes import Loader, Prefetcher
from torchdata.stateful_dataloader import StatefulDataLoader

from streamaug.errors import StreamaugError
from streamaug.integrations.torchdata_nodes import StageNode


def steps(batches):
    return [(batch.origin.epoch, batch.origin.step, batch.origin.keys) for batch in batches]


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("taken", [1, 4])
def test_a_node_goes_on_exactly(uneven, prefetch, taken):
    def loader():
        node = StageNode(reader(uneven[0], batch_size=64))
        return Loader(Prefetcher(node, prefetch_factor=2) if prefetch else node)

    first = loader()
    full = steps(first)
    assert steps(first)[0][0] == 1
    second = loader()
    stream = iter(second)
    seen = steps(next(stream) for _ in range(taken))
    third = loader()
    third.load_state_dict(second.state_dict())
    assert seen + steps(third) == full


def test_the_stateful_loader_without_workers_goes_on_exactly(uneven):
    def loader():
        dataset = reader(uneven[0], batch_size=64).as_dataset()
        return StatefulDataLoader(dataset, batch_size=None, num_workers=0, collate_fn=lambda batch: batch)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'set_vital' is deprecated")  # torchdata calls it
        full = steps(loader())
        second = loader()
        stream = iter(second)
        seen = steps(next(stream) for _ in range(3))
        third = loader()
        third.load_state_dict(second.state_dict())
        assert seen + steps(third) == full


def test_the_stateful_loader_is_refused_a_chain_whose_state_torch_hides(uneven):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'set_vital' is deprecated")
        stream = iter(StatefulDataLoader(reader(uneven[0], batch_size=64), batch_size=None))
    with pytest.raises(StreamaugError, match="as_dataset"):
        next(stream)


def test_only_stages_become_nodes():
    with pytest.raises(TypeError, match="streamaug stage"):
        StageNode([1, 2])
