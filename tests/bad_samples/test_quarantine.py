"""The list of bad samples: checked at the start, never the end of a run, whole lines whoever writes."""

import json
import multiprocessing
import shutil
import warnings
from pathlib import Path

import pytest

from streamaug.bad_samples.quarantine import Quarantine


def test_a_file_that_cannot_be_appended_to_is_refused_with_path_and_fix(tmp_path):
    missing = tmp_path / "none" / "bad.jsonl"
    with pytest.raises(ValueError, match=r"^quarantine: .*none/bad\.jsonl.*No such file.*Make its folder"):
        Quarantine(missing)
    with pytest.raises(ValueError, match="directory"):
        Quarantine(tmp_path)


def test_what_is_there_already_stays(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"key": "earlier"}\n')
    Quarantine(path).add({"key": "later"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["earlier", "later"]


def test_the_home_folder_is_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Quarantine("~/bad.jsonl").add({"key": "a"})
    assert (tmp_path / "bad.jsonl").exists()


def test_a_write_that_fails_is_one_warning(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    quarantine = Quarantine(folder / "bad.jsonl")
    shutil.rmtree(folder)
    with pytest.warns(UserWarning, match=r"quarantine: must stay writable.*bad\.jsonl.*No such file"):
        quarantine.add({"key": "a"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quarantine.add({"key": "b"})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_warning():
    quarantine = Quarantine("/dev/full")
    with pytest.warns(UserWarning, match="No space left"):
        quarantine.add({"key": "a"})


def _write(path, writer):
    quarantine = Quarantine(path)
    for number in range(100):
        quarantine.add({"writer": writer, "number": number, "reason": "x" * 20_000})


@pytest.mark.slow
def test_lines_of_several_processes_never_mix(tmp_path):
    path = tmp_path / "bad.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(path, writer)) for writer in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for writer in range(3):
        assert [line["number"] for line in lines if line["writer"] == writer] == list(range(100))
