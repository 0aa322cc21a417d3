"""Ranks are settled when they must be known: several processes never read the same data without a word."""

import os
import warnings

import pytest
import ranks
import torch
from chains import STEPS, place, plain
from torch import distributed, multiprocessing

import streamaug as sa

LAUNCHERS = (
    "SLURM_NTASKS",
    "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "PMIX_SIZE",
    "JSM_NAMESPACE_SIZE",
    "FLUX_JOB_SIZE",
    "HOROVOD_SIZE",
    "WORLD_SIZE",
)
NUMBERS = ("LOCAL_RANK", "SLURM_PROCID", "PMIX_RANK", "PALS_RANKID")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in (*LAUNCHERS, *NUMBERS, "RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def late(url):
    """A reader that must find its ranks, of 64 rows a rank."""
    return sa.ShardReader(sa.ShardSet.open(url), batch_size=64, seed=3, lanes=16, window=128)


def become(monkeypatch, rank, world_size):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(world_size))


def ranks_of(batch):
    """(rank, world size), as the positions of a first batch tell them."""
    first, second = batch.origin.positions[:2].tolist()
    return first, second - first


# --- when they are settled --------------------------------------------------------------------

ASKING = {
    "len": len,
    "next": lambda chain: next(iter(chain)),
    "peek": lambda chain: chain.peek(),
    "list": list,
    "check_ranks": lambda chain: chain.check_ranks(),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_they_are_settled_when_they_must_be_known_and_stay(url, monkeypatch, ask):
    chain = late(url)
    become(monkeypatch, 1, 2)
    ask(chain)
    become(monkeypatch, 0, 4)
    assert chain.ranks.settled == (1, 2)
    assert ranks_of(next(iter(chain))) == (1, 2)


LOOKING = {
    "iter": iter,
    "bool": bool,
    "repr": repr,
    "state_dict": lambda chain: chain.load_state_dict(chain.state_dict()),
    "set_epoch": lambda chain: chain.set_epoch(3),
    "seek": lambda chain: chain.seek(3, 2),
    "epoch": lambda chain: chain.epoch,
    "a stage more": lambda chain: chain.map_batch(len).as_dataset(),
    "close": lambda chain: chain.close(),
    "attributes": lambda chain: [getattr(chain, name, None) for name in dir(chain) if name != "source"],
}


@pytest.mark.parametrize("look", LOOKING.values(), ids=LOOKING)
def test_nothing_else_settles_them(url, monkeypatch, look):
    chain = late(url)
    look(chain)
    assert chain.ranks.settled is None
    become(monkeypatch, 1, 2)
    assert len(chain) == STEPS // 2


def test_a_seek_is_judged_as_soon_as_the_length_is_known(url, monkeypatch):
    chain = late(url)
    chain.seek(0, STEPS // 2)
    become(monkeypatch, 1, 2)
    with pytest.raises(ValueError, match=r"seek\.step: must lie in 0..2, got 3"):
        next(iter(chain))
    chain.seek(0, STEPS // 2 - 1)
    assert place(next(iter(chain))) == (0, STEPS // 2 - 1)


# --- where they come from ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rank", "world_size"), [("one", "2"), ("0", "2.0"), ("-1", "2"), ("2", "2")], ids=lambda value: value
)
def test_variables_that_are_no_ranks_are_errors_that_name_them(url, monkeypatch, rank, world_size):
    become(monkeypatch, rank, world_size)
    with pytest.raises(ValueError, match=r"ShardReader\.rank: .*(RANK|WORLD_SIZE|in 0\.\.)"):
        len(late(url))


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize("count", ["4", " 4\n"])
def test_a_launcher_that_nobody_read_is_one_warning_a_reader(url, monkeypatch, name, count):
    monkeypatch.setenv(name, count)
    monkeypatch.setenv("LOCAL_RANK", "1")  # as plain python under a launcher that sets no RANK
    for _ in range(2):
        chain = late(url)
        with pytest.warns(UserWarning, match=f"has {name}=.*all read the same data") as caught:
            assert ranks_of(next(iter(chain))) == (0, 1)
        assert len(caught) == 1
        next(iter(chain))  # warnings are errors here


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_above_0_without_a_world_size_is_a_warning_too(url, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with pytest.warns(UserWarning, match=f"has {name}=1, .*all read the same data"):
        assert ranks_of(next(iter(late(url)))) == (0, 1)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        dict.fromkeys(LAUNCHERS, "1"),
        dict.fromkeys(LAUNCHERS, ""),
        dict.fromkeys(NUMBERS, "0"),
        dict.fromkeys(NUMBERS, "none"),
    ],
)
def test_a_process_alone_is_not_warned(url, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ranks_of(next(iter(late(url)))) == (0, 1)


def test_given_ranks_need_no_launcher_and_are_checked_at_once(url, monkeypatch):
    become(monkeypatch, 3, 4)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    chain = plain(url, rank=1, world_size=2)
    assert chain.ranks.settled == (1, 2)
    for rank, world_size in ((2, 2), (-1, 2), (True, 2), (0, 0), (0.0, 1), (0, "2")):
        with pytest.raises(ValueError, match=r"ShardReader\.rank"):
            sa.ShardReader(sa.ShardSet.open(url), batch_size=32, rank=rank, world_size=world_size)
    with pytest.raises(ValueError, match="go together"):
        sa.ShardReader(sa.ShardSet.open(url), batch_size=32, rank=0)


@pytest.fixture
def group():
    """Makes and ends process groups of this process alone."""

    def make():
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)

    yield make
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.fixture
def _loopback(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


@pytest.mark.usefixtures("_loopback")
def test_a_group_beats_the_environment_and_one_that_agrees_or_goes_is_no_error(url, monkeypatch, group):
    become(monkeypatch, 1, 2)
    group()
    chain = late(url)
    assert ranks_of(next(iter(chain))) == (0, 1)
    distributed.destroy_process_group()
    assert ranks_of(next(iter(chain))) == (0, 1)


@pytest.mark.usefixtures("_loopback")
@pytest.mark.parametrize("settle", [len, lambda chain: next(iter(chain))], ids=["len", "next"])
def test_a_group_that_contradicts_is_an_error_at_the_next_pass(url, monkeypatch, group, settle):
    chain = late(url)
    become(monkeypatch, 1, 2)
    settle(chain)
    stream = iter(chain)
    next(stream)
    group()
    assert place(next(stream))[1] == 1  # the pass under way goes on
    with pytest.raises(sa.StreamaugError, match="rank 1 of 2, got a process group that says rank 0 of 1"):
        next(iter(chain))
    assert place(next(stream))[1] == 2
    chain.close()
    with pytest.raises(sa.StreamaugError, match="rank 1 of 2"):
        chain.peek()


# --- several processes ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(uneven, tmp_path_factory):
    """What two processes saw, see tests/ranks.py."""
    folder = tmp_path_factory.mktemp("pair")
    kept = {name: os.environ.pop(name) for name in (*LAUNCHERS, "RANK") if name in os.environ}
    try:
        chain = sa.ShardReader(sa.ShardSet.open(uneven[0]), **ranks.OPTIONS)
        multiprocessing.spawn(ranks.read, (chain, str(folder)), nprocs=2)
    finally:
        os.environ.update(kept)
    return [torch.load(folder / f"{number}.pt") for number in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["made by the parent", "made here", "odd batch", "without the group"])
def test_processes_started_by_spawn_share_what_readers_made_before_the_group_read(pair, reader):
    assert [seen[reader] for seen in pair] == [(list(range(rank, 64, 2)), STEPS) for rank in range(2)]


@pytest.mark.slow
def test_a_reader_that_was_read_before_the_group_came_is_an_error_on_both(pair):
    for rank, seen in enumerate(pair):
        kind, message = seen["begun before"]
        assert kind == "StreamaugError"
        assert f"rank 0 of 1, got a process group that says rank {rank} of 2" in message


@pytest.mark.slow
def test_threads_that_nobody_counted_are_a_warning(pair):
    for seen in pair:
        assert len(seen["threads"]) == 1
        assert "the 2 ranks" in seen["threads"][0]


@pytest.mark.slow
def test_check_ranks_names_what_differs_on_every_rank(pair):
    assert [seen["check_ranks, nothing"] for seen in pair] == [None, None]
    for field in ("fingerprint", "seed", "order", "batch_size", "world_size", "rank"):
        for seen in pair:
            kind, message = seen[f"check_ranks, {field}"]
            assert kind == "StateError"
            assert message.startswith(f"check_ranks.{field}: must ")


@pytest.mark.slow
def test_ranks_of_a_mesh_are_those_along_its_axis(pair):
    assert [seen["mesh (2, 1)"] for seen in pair] == [(0, 2), (1, 2)]
    assert [seen["mesh (1, 2)"] for seen in pair] == [(0, 1), (0, 1)]
    for seen in pair:
        assert seen["whole mesh (2, 1)"][0] == "ValueError"
        assert "must have one axis, got 2" in seen["whole mesh (2, 1)"][1]


def test_check_ranks_without_a_group_settles_and_says_nothing(url):
    with warnings.catch_warnings(record=True) as caught:
        assert late(url).check_ranks() is None
    assert caught == []
