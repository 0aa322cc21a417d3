"""Devices as torch takes them, and how many threads a rank may use."""

import os
import warnings

import pytest
import torch

from streamaug.dali.device import default_threads, device_name, local_ranks, resolve_device
from streamaug.errors import RecipeError

VARIABLES = (
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURM_TASKS_PER_NODE",
    "SLURM_NTASKS_PER_NODE",
)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("cpu", "cpu"),
        ("cuda", "gpu"),
        ("gpu", "gpu"),
        ("cuda:1", "cuda:1"),
        (2, "cuda:2"),
        (torch.device("cpu"), "cpu"),
        (torch.device("cuda"), "gpu"),
        (torch.device("cuda", 3), "cuda:3"),
    ],
)
def test_whatever_torch_takes_as_a_device_has_a_name(given, name):
    assert device_name(given) == name


@pytest.mark.parametrize("given", [True, -1, 1.0, torch.device("meta"), torch.device("mps")])
def test_what_is_no_device_of_ours_is_refused(given):
    with pytest.raises(RecipeError, match=r"augment\.device"):
        device_name(given)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(RecipeError, match="needs a CUDA device that torch sees"):
        resolve_device(f"cuda:{torch.cuda.device_count()}", warn=False)
    with pytest.raises(RecipeError, match=r"augment\.device"):
        resolve_device("tpu", warn=False)
    assert resolve_device("cpu", warn=True) is None


def seen(monkeypatch, *, count, current, local):
    """What torch and the launcher say: `count` GPUs, the current one, LOCAL_RANK (None: not set)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)


@pytest.mark.parametrize(
    ("name", "count", "current", "local", "index"),
    [
        ("auto", 8, 0, "3", 3),  # torchrun, and no set_device
        ("auto", 8, 3, "3", 3),
        ("auto", 8, 0, "0", 0),
        ("auto", 8, 5, None, 5),
        ("auto", 8, 0, "", 0),
        ("auto", 1, 0, "3", 0),  # a GPU for each rank, by CUDA_VISIBLE_DEVICES
        ("gpu", 1, 0, "3", 0),
        ("gpu", 8, 3, "3", 3),
        ("gpu", 8, 2, None, 2),
        ("cuda:1", 8, 0, "3", 1),  # the user says which
        ("auto", 0, 0, "3", None),
        ("cpu", 8, 0, "3", None),
    ],
)
def test_a_rank_takes_its_own_gpu_without_a_warning(monkeypatch, name, count, current, local, index):
    seen(monkeypatch, count=count, current=current, local=local)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_device(name, warn=True) == index


@pytest.mark.parametrize(
    ("name", "current", "local"),
    [
        ("auto", 0, "9"),  # LOCAL_RANK's GPU is not there
        ("auto", 1, "2"),  # the program has chosen another
        ("gpu", 0, "2"),
        ("gpu", 0, "9"),
    ],
)
def test_a_rank_that_takes_another_gpu_says_why(monkeypatch, name, current, local):
    seen(monkeypatch, count=4, current=current, local=local)
    with pytest.warns(UserWarning, match=rf"{name!r} takes .*, {current}, but LOCAL_RANK is {local} of 4 GPUs"):
        assert resolve_device(name, warn=True) == current
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_device(name, warn=False) == current


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({"LOCAL_WORLD_SIZE": "4"}, 4),
        ({"LOCAL_WORLD_SIZE": "", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 2),
        ({"LOCAL_WORLD_SIZE": "0", "MPI_LOCALNRANKS": "3"}, 3),
        ({"MV2_COMM_WORLD_LOCAL_SIZE": "5"}, 5),
        ({"SLURM_TASKS_PER_NODE": "4(x2),3"}, 4),
        ({"SLURM_TASKS_PER_NODE": "2,8(x15)"}, 8),
        ({"SLURM_NTASKS_PER_NODE": "8"}, 8),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_TASKS_PER_NODE": "8(x2)"}, 2),
        ({"LOCAL_WORLD_SIZE": "4", "SLURM_TASKS_PER_NODE": "8"}, 4),
    ],
)
def test_launchers_say_how_many_ranks_share_a_host(monkeypatch, variables, count):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert local_ranks(16) == count


def test_a_rank_alone_shares_with_nobody_whatever_slurm_has_set(monkeypatch):
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", "8")
    assert local_ranks(1) == 1  # an interactive shell has it too


def test_ranks_that_nobody_counted_are_taken_to_share_the_host_with_a_warning():
    with pytest.warns(UserWarning, match=r"augment\.num_threads: .*LOCAL_WORLD_SIZE"):
        assert local_ranks(4) == 4
    with warnings.catch_warnings(record=True) as caught:
        assert local_ranks(1) == 1
    assert caught == []


def test_threads_are_a_share_of_the_cores_and_one_more(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_threads(8) == 5
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "32")
    assert default_threads(32) == 2
