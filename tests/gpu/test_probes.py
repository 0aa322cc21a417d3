"""Each probe of benchmarks/gpu.py, on a GPU where there is one, else as a dry run on the CPU.

The probes that measure speed run in the dry run alone: on a GPU they are benchmarks. Where STREAMAUG_GPU_ROWS names a
file, rows are kept there, and a probe that has one does not run again; `make gpu` goes on from it. STREAMAUG_GPU_DEVICE
chooses the device, "gpu" or "cpu".
"""

import json
import os
import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"
GPU = runpy.run_path(str(PROGRAM))
DEVICE = os.environ.get("STREAMAUG_GPU_DEVICE") or ("gpu" if torch.cuda.is_available() else "cpu")
CHOSEN = [name for name, (where, _) in GPU["PROBES"].items() if DEVICE == "cpu" or not where.startswith("speed:")]


def run(*arguments, expect=0):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--device", DEVICE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    kept = os.environ.get("STREAMAUG_GPU_ROWS")
    return Path(kept) if kept else tmp_path_factory.mktemp("probes") / "gpu.jsonl"


@pytest.mark.parametrize("name", CHOSEN)
def test_a_probe_ends_well(out, name):
    run("--out", out, "--only", name)
    row = next(row for row in rows(out) if row["probe"] == name and row["device"] == DEVICE)
    assert row["verdict"] in (("ok",) if DEVICE == "gpu" else ("ok", "needs a GPU")), row


def test_what_ended_does_not_run_again_and_the_table_shows_it(tmp_path):
    out = tmp_path / "gpu.jsonl"
    row = {"probe": "mixing", "device": DEVICE, "verdict": "ok", "summary": "kept | so", "figures": {}, "seconds": 1}
    out.write_text(json.dumps(row) + "\n")
    run("--out", out, "--only", "mixing")
    assert rows(out) == [row]
    table = (tmp_path / "gpu.md").read_text()
    assert "| mixing | ok | kept \\| so | 1 |" in table
    assert table.count("| left out |") == len(GPU["PROBES"]) - 1
    assert ("Dry run on a CPU" in table) == (DEVICE == "cpu")


def test_a_crash_is_a_row_and_the_exit_code_says_so(tmp_path):
    out = tmp_path / "gpu.jsonl"
    run("--out", out, "--only", "formats", "--jpegs", tmp_path / "*.tar", expect=1)
    assert rows(out)[0]["verdict"] == "crashed"
    assert "--jpegs: must match tars" in rows(out)[0]["summary"]
    assert "| formats | crashed | exit code 1: " in (tmp_path / "gpu.md").read_text()


def test_a_probe_that_takes_too_long_is_ended_and_has_a_row():
    row = GPU["run"]("mixing", Namespace(device=DEVICE, jpegs=None), 0.001)
    assert row["verdict"] == "over time"


def test_the_limits_leave_all_probes_within_ten_minutes():
    assert sum(seconds for _, seconds in GPU["PROBES"].values()) <= 570


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--out", str(tmp_path / "gpu.jsonl")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "a CUDA GPU must be there" in done.stderr
    assert not (tmp_path / "gpu.jsonl").exists()
