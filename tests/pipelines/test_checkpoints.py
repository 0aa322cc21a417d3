"""Checkpoints of which a crash at any moment leaves a whole one: pipelines/checkpoints.py."""

import runpy
from pathlib import Path

import pytest
import torch
from programs import PIPELINES

Checkpoints = runpy.run_path(str(PIPELINES / "checkpoints.py"))["Checkpoints"]


def state(number):
    return {"number": number, "weights": torch.full((300,), float(number))}


@pytest.fixture
def three(tmp_path):
    """Four checkpoints were saved, three are kept."""
    checkpoints = Checkpoints(tmp_path / "run.pt", keep=3)
    for number in range(4):
        checkpoints.save(state(number))
    return checkpoints


def loaded(checkpoints):
    found = Checkpoints(checkpoints.path).load()
    return found and found[0]["number"]


def test_the_last_ones_are_kept_and_the_newest_is_loaded(three):
    assert [path.name for path in three.existing()] == ["run.pt", "run.1.pt", "run.2.pt"]
    assert [torch.load(path)["number"] for path in three.existing()] == [3, 2, 1]
    assert loaded(three) == 3


def test_other_files_are_no_checkpoints(three):
    for name in ("run.best.pt", "running.pt", "run.tmp", "run.1.pt.torn"):
        (three.path.parent / name).write_bytes(b"")
    assert len(three.existing()) == 3


def test_without_any_there_is_nothing_to_load(tmp_path):
    assert Checkpoints(tmp_path / "nowhere" / "run.pt").load() is None


@pytest.mark.parametrize("size", [0, 1, 100, 1500, -1])
def test_a_torn_newest_one_is_passed_over(three, capsys, size):
    three.path.write_bytes(three.path.read_bytes()[:size])
    found = three.load()
    assert found[0]["number"] == 2
    assert f"warning: the checkpoint {three.path} is torn" in capsys.readouterr().err
    three.set_torn_aside()
    three.save(state(4))
    assert [torch.load(path)["number"] for path in three.existing()] == [4, 2, 1]
    assert three.path.with_name("run.pt.torn").exists()


def test_no_file_with_a_flipped_byte_is_loaded(three):
    whole = three.path.read_bytes()
    for at in range(0, len(whole), 3):
        three.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert loaded(three) == 2, at


def test_where_all_are_torn_that_is_an_error_and_not_a_beginning(three):
    for path in three.existing():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"--checkpoint: one must be whole .* got .*run.pt, .*run.1.pt, .*run.2.pt"):
        three.load()


@pytest.mark.parametrize("renames", range(3))
def test_a_crash_between_any_two_renames_leaves_the_last_one(three, monkeypatch, renames):
    done, replace = [], Path.replace

    def crashing(path, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", crashing)
    with pytest.raises(KeyboardInterrupt):
        three.save(state(4))
    monkeypatch.undo()
    assert loaded(three) == 3


def test_a_crash_while_it_is_written_leaves_the_last_one(three, monkeypatch):
    def half(_, file):
        file.write(b"PK\x03\x04")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        three.save(state(4))
    assert loaded(three) == 3


def test_a_number_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--keep: must be at least 1, got 0"):
        Checkpoints(tmp_path / "run.pt", keep=0)
