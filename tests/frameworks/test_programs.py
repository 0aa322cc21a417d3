"""The programs of docs/training-loops.md run and print what they say; none is longer than 30 lines."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import two
from pictures import drawn_samples
from shards_on_disk import write_shards
from torch import distributed

pytestmark = pytest.mark.filterwarnings("ignore")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "training-loops.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
#: What a program prints, and nothing where it prints what a framework says.
PRINTED = {
    "accelerate": "160 images, each once\n",
    "argparse": "0 torch.float32\n1 torch.int64\n",
    "torchdata": "True\nTrue\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    (folder / "demo" / "data").mkdir(parents=True)
    write_shards(folder / "demo" / "data", "train", drawn_samples(160), [20] * 8)
    return folder


def framework(program):
    """What the program imports first, torch aside; it names the test."""
    names = re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE)
    return next(name for name in names if name not in ("torch", "os", "streamaug", "json"))


ALONE = [program for program in PROGRAMS if "init_device_mesh" not in program]


@pytest.mark.parametrize("program", ALONE, ids=framework)
def test_a_program_runs_and_prints_what_it_says(folder, monkeypatch, program):
    pytest.importorskip(framework(program))
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, framework(program), "exec"), {"__name__": "program"})
    if framework(program) in PRINTED:
        assert printed.getvalue() == PRINTED[framework(program)]


def test_the_program_of_meshes_runs(folder, monkeypatch):
    (program,) = [program for program in PROGRAMS if "init_device_mesh" in program]
    monkeypatch.chdir(folder)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(two.free_port()))
    ran = {"__name__": "program"}
    try:
        exec(compile(program, "meshes", "exec"), ran)
    finally:
        distributed.destroy_process_group()
    assert (ran["chain"].epoch, ran["chain"].state_dict()["epoch"]) == (1, 1)  # an epoch was trained, saved and loaded


def test_programs_are_short():
    assert len(PROGRAMS) == 7
    for program in PROGRAMS:
        assert len([line for line in program.splitlines() if line.strip()]) <= 30
