"""Logs of lines whose process is killed in the middle of one: pipelines/batch_log.py."""

import json
import runpy
from types import SimpleNamespace

import pytest
import torch
from programs import PIPELINES

MODULE = runpy.run_path(str(PIPELINES / "batch_log.py"))


def batch(step):
    """As much of a batch as is logged: two rows."""
    origin = SimpleNamespace(positions=torch.arange(2 * step, 2 * step + 2), epoch=0, step=step)
    return SimpleNamespace(
        images=torch.full((2, 3, 2, 2), float(step)), targets=torch.tensor([step, step]), origin=origin
    )


def write(folder, *steps):
    log = MODULE["BatchLog"](folder, rank=0)
    for step in steps:
        log.write(batch(step))
    log._file.close()


@pytest.mark.parametrize("left", [0, 1, 40, -1])
def test_a_line_that_a_kill_cut_off_is_no_batch_and_comes_again(tmp_path, left):
    write(tmp_path, 0, 1)
    whole = MODULE["read_log"](tmp_path)
    path = tmp_path / "rank0.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:left])
    assert MODULE["read_log"](tmp_path) == {(0, 0): whole[0, 0]}
    write(tmp_path, 1)
    assert MODULE["read_log"](tmp_path) == whole
    assert path.read_bytes() == first + second


def test_a_cut_line_longer_than_what_is_read_at_once_is_taken_away(tmp_path):
    path = tmp_path / "lines"
    for before in (b"", b"one\n"):
        path.write_bytes(before + b"x" * (2 * MODULE["CHUNK"] + 5))
        with MODULE["appending"](path) as file:
            file.write(json.dumps("two") + "\n")
        assert path.read_bytes() == before + b'"two"\n'


def test_rows_that_come_twice_and_not_alike_are_an_error(tmp_path):
    write(tmp_path, 0)
    path = tmp_path / "rank0.jsonl"
    record = json.loads(path.read_text())
    record["rows"][1][1] = "other"
    path.write_text(path.read_text() + json.dumps(record) + "\n")
    with pytest.raises(ValueError, match="position 1 of epoch, step \\(0, 0\\) came twice"):
        MODULE["read_log"](tmp_path)
