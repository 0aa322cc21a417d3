"""Chains in torch's Distributed Checkpoint, FSDP2 and device meshes, and in torchdata's loaders and nodes."""

import loops
import pytest
import torch_rows as rows
import two
from torch.distributed import checkpoint
from torchdata.nodes import Loader, ParallelMapper, Prefetcher
from torchdata.stateful_dataloader import StatefulDataLoader

from streamaug.integrations.torchdata_nodes import StageNode

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def of_two(url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch") / "ranks"
    chain = loops.mixed(url)
    rows.take(chain, 9)
    checkpoint.save({"loader": chain}, checkpoint_id=folder / "one", no_dist=True)
    return folder, two.run("torch_rows.py", folder, url)


@pytest.mark.parametrize(("name", "done"), [("two", 8), ("beside", 8), ("one", 9)])
def test_two_ranks_load_what_two_or_one_saved(of_two, name, done):
    for found in of_two[1]:
        assert [found["places"][digest] for digest in found[name]] == loops.epochs(0, 1, 2)[done : done + 6]


@pytest.mark.parametrize("name", ["two", "beside"])
def test_one_rank_loads_what_two_saved(url, mixed_places, of_two, name):
    chain = loops.mixed(url)
    checkpoint.load({"loader": chain}, checkpoint_id=of_two[0] / name, no_dist=True)
    assert [mixed_places[digest] for digest in rows.take(chain, 6)] == loops.epochs(0, 1, 2)[8:14]


def test_sharded_ranks_read_their_own_and_tensor_parallel_peers_the_same(of_two, mixed_places):
    first, second = (found for _, found in zip(range(2), of_two[1], strict=True))
    for found in (first, second):
        assert [found["places"][digest] for digest in found["2x1"]] == loops.epochs(0)
        assert [mixed_places[digest] for digest in found["1x2"]] == loops.epochs(0)
    assert first["1x2"] == second["1x2"]
    assert not set(first["2x1"]) & set(second["2x1"])


def nodes(url, wrap):
    return Loader(wrap(StageNode(loops.mixed(url))))


LOADERS = {
    "stateful": lambda url: StatefulDataLoader(loops.mixed(url).as_dataset(), batch_size=None),
    "node": lambda url: nodes(url, lambda node: node),
    "prefetched": lambda url: nodes(url, lambda node: Prefetcher(node, prefetch_factor=3, snapshot_frequency=2)),
    "mapped": lambda url: nodes(url, lambda node: ParallelMapper(node, lambda batch: batch, 2, method="thread")),
}


@pytest.mark.parametrize("done", [3, 8])
@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_torchdatas_loaders_go_on_exactly(url, mixed_places, make, done):
    first, state, seen = make(url), None, []
    while state is None:
        for batch in first:
            seen.append(mixed_places[loops.digest(*batch)])
            if len(seen) == done:
                state = first.state_dict()
                break
    second = make(url)
    second.load_state_dict(state)
    rest = [mixed_places[loops.digest(*batch)] for _ in range(2) for batch in second]
    assert seen + rest == loops.epochs(0, 1, 2)[: len(seen) + len(rest)]
    assert len(rest) == 2 * loops.STEPS - done % loops.STEPS
