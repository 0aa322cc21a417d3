"""A chain in torch's DataLoader and torchdata's StatefulDataLoader: delivered as it is, resumed exactly, or refused."""

import copy
import json
import warnings

import pytest
import torch
from chains import STEPS, epoch, place, places, plain, standing, taken, train
from torch.utils.data import ChainDataset, DataLoader, IterableDataset, default_collate
from torch.utils.data.datapipes.datapipe import IterDataPipe

import streamaug as sa

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="'set_vital' is deprecated")  # torchdata calls it
    from torchdata.stateful_dataloader import StatefulDataLoader

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


def as_it_is(chain):
    return chain


def as_dataset(chain):
    return chain.as_dataset()


def pairs(batch):
    return batch.images, batch.targets


WRAPS = pytest.mark.parametrize("wrap", [as_it_is, as_dataset])
#: What a chain may deliver that a loader could put together to something wrong.
KINDS = {
    "encoded": plain,
    "batches": train,
    "tuples": lambda url: train(url).as_tuples(),
    "dicts": lambda url: train(url).as_dicts(),
    "a user's tuples": lambda url: train(url).map_batch(pairs),
}


@WRAPS
def test_a_loader_without_batch_size_delivers_the_chain_epoch_by_epoch(url, wrap):
    chain = train(url)
    loader = DataLoader(wrap(chain), batch_size=None)
    assert len(loader) == STEPS
    assert [places(loader) for _ in range(2)] == [epoch(0), epoch(1)]
    chain.set_epoch(5)
    assert places(loader) == epoch(5)


@WRAPS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"batch_size": 32}, {"batch_size": 2, "collate_fn": list}], ids=str)
def test_a_loader_that_would_batch_batches_is_told_what_to_pass(url, wrap, kind, options):
    loader = DataLoader(wrap(KINDS[kind](url)), **options)
    with pytest.raises(sa.StreamaugError, match="batch_size=None"):
        next(iter(loader))


@pytest.mark.parametrize("kind", ["encoded", "batches", "tuples", "dicts"])
def test_torchs_collation_refuses_what_is_a_batch_already(url, kind):
    batch = next(iter(KINDS[kind](url)))
    with pytest.raises(sa.StreamaugError, match="batches already"):
        default_collate([batch, batch])


def test_a_function_of_ones_own_that_a_loader_calls_may_take_single_batches(url):
    class First(IterableDataset):
        def __init__(self, chain):
            self.chain = chain

        def __iter__(self):
            return (batch.images[0] for batch in self.chain)

    images = next(iter(DataLoader(First(train(url)), batch_size=2)))
    assert images.shape == (2, 3, 16, 16)


@WRAPS
@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_by_every_start_method_are_a_clear_error(url, wrap, method):
    loader = DataLoader(wrap(plain(url)), batch_size=None, num_workers=1, multiprocessing_context=method)
    with pytest.raises((sa.StreamaugError, RuntimeError), match="must not be iterated inside a DataLoader worker"):
        next(iter(loader))


@pytest.mark.slow
def test_workers_after_a_first_batch_are_a_clear_error(url):
    chain = plain(url)
    next(iter(chain))
    loader = DataLoader(chain, batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises((sa.StreamaugError, RuntimeError), match="must be read by the process that read it first"):
        next(iter(loader))


# --- datasets ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dataset_is_no_datapipe_and_has_what_the_chain_has(url):
    chain = train(url)
    dataset = chain.as_dataset()
    assert isinstance(dataset, IterableDataset)
    assert not isinstance(dataset, IterDataPipe)
    assert (len(dataset), dataset.epoch) == (STEPS, 0)
    assert repr(dataset) == f"{chain!r}.as_dataset()"
    dataset.set_epoch(3)
    stream = iter(dataset)
    assert place(next(stream)) == (3, 0)
    assert dataset.state_dict() == chain.state_dict()
    dataset.close()
    with pytest.raises(sa.StreamaugError, match=r"close\(\)"):
        next(stream)
    dataset.load_state_dict(chain.state_dict())
    assert places(dataset) == epoch(3, 1)
    assert place(next(iter(copy.deepcopy(dataset)))) == (4, 0)


def test_datasets_of_chains_go_into_torchs_own(url):
    assert places(ChainDataset([plain(url).as_dataset(), plain(url).as_dataset()])) == epoch(0) + epoch(0)


# --- the stateful loader ----------------------------------------------------------------------


def test_the_stateful_loader_refuses_a_stage_whose_state_it_cannot_see(url):
    chain = train(url)
    with pytest.raises(sa.StreamaugError, match=r"must be given chain.as_dataset\(\)"):
        next(iter(StatefulDataLoader(chain, batch_size=None)))
    assert standing(chain) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS])
def test_the_stateful_loader_goes_on_exactly(url, count):
    first, second = (StatefulDataLoader(train(url).as_dataset(), batch_size=None) for _ in range(2))
    seen = []
    while len(seen) < count:
        for batch in first:
            seen.append(place(batch))
            if len(seen) == count:
                state = first.state_dict()
                break
    if count == 0:
        state = first.state_dict()
    second.load_state_dict(copy.deepcopy(state))
    rest = []
    while len(rest) < STEPS:
        rest += places(second)
    every = [where for number in range(5) for where in epoch(number)]
    assert seen + rest == every[: count + len(rest)]


def test_a_loaders_state_holds_the_chains(url):
    chain = train(url)
    loader = StatefulDataLoader(chain.as_dataset(), batch_size=None)
    taken(loader, 2)
    assert json.dumps(chain.state_dict()) in json.dumps(loader.state_dict(), default=str)
    file = torch.serialization.io.BytesIO()
    torch.save(loader.state_dict(), file)
    file.seek(0)
    assert torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", ["dataset", "sampler", "batch_sampler", "mixup_enabled"])
def test_what_a_dataloader_has_and_a_chain_has_not_names_what_to_use(url, name):
    chain = train(url)
    assert not hasattr(chain, name)
    with pytest.raises(AttributeError, match=r"integrations\.accelerate\.prepare.*integrations\.timm\.Loader"):
        getattr(chain, name)


def test_loops_that_move_all_they_are_given_may_be_given_encoded_batches(url):
    batch = next(iter(plain(url)))
    assert batch.to("cpu", non_blocking=True) is batch


def test_an_iterator_knows_when_its_pass_is_complete(url):
    stream = iter(plain(url))
    assert not stream.complete
    assert [stream.complete for _ in stream] == [False] * (STEPS - 1) + [True]
