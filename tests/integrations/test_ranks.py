"""Ranks of launchers that are asked for by name; those of a device mesh are in tests/stages/test_ranks.py."""

import pytest

import streamaug as sa
from streamaug.integrations import ranks

VARIABLES = {
    "slurm": [("SLURM_PROCID", "SLURM_NTASKS")],
    "mpi": [
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
        ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
        ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    ],
}
CASES = [(launcher, *names) for launcher, pairs in VARIABLES.items() for names in pairs]


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for _, *names in CASES:
        for name in names:
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("launcher", "rank", "size"), CASES)
def test_a_launchers_variables_are_rank_and_world_size(uneven, monkeypatch, launcher, rank, size):
    monkeypatch.setenv(rank, "1")
    monkeypatch.setenv(size, "2")
    found = getattr(ranks, launcher)()
    assert found == (1, 2)
    reader = sa.ShardReader(sa.ShardSet.open(uneven[0]), batch_size=32, lanes=16, rank=found[0], world_size=found[1])
    assert next(iter(reader)).origin.positions.tolist() == list(range(1, 64, 2))


@pytest.mark.parametrize(("launcher", "rank", "size"), CASES)
@pytest.mark.parametrize(("one", "two"), [("", "2"), ("1", None), ("first", "2"), ("2", "2"), ("-1", "2")])
def test_without_them_or_with_others_it_is_an_error_that_names_them(monkeypatch, launcher, rank, size, one, two):
    monkeypatch.setenv(rank, one)
    if two is not None:
        monkeypatch.setenv(size, two)
    with pytest.raises(sa.StreamaugError, match=rf"ranks\.{launcher}: .*{rank}"):
        getattr(ranks, launcher)()
