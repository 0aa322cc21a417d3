"""`streamaug bench` names what bounds a chain: a stage that was made slow is the one that it names."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from odd_servers import served
from shards_on_disk import write_shards

import streamaug as sa
from streamaug.cli import main
from streamaug.cli.bench.intervals import coverage, median_interval
from streamaug.cli.bench.machine import usable_cores

PROGRAM = """
import dataclasses
import time

import numpy as np

import streamaug as sa
from streamaug import ops

@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sleepy(ops.Photometric):
    probability: float = 1.0
    draws = 1

    def parameters(self, draws, height, width):
        time.sleep(0.15)
        return {{"gain": np.ones(len(draws), np.float32)}}

    def build(self, image, arguments):
        return arguments.fn.cast(image * arguments.beside("gain"), dtype=arguments.types.UINT8)

def reader():
    return sa.ShardReader(sa.ShardSet.open({url!r}), batch_size=8)

def decoded(*operations, **options):
    return reader().augment(sa.Recipe([ops.Resize(24), *operations]), device="cpu", **options)

def slow(batch):
    time.sleep(0.15)
    return batch

def slow_function():
    return decoded().map_batch(slow).mixup(num_classes=1000)

def slow_operation():
    return decoded(ops.HorizontalFlip(), Sleepy())

def one_thread():
    heavy = sa.Recipe([ops.Resize(400), ops.GaussianBlur(sigma=(3.0, 4.0))])
    return reader().augment(heavy, device="cpu", num_threads=1)

def labelled(key, components):
    return {{"cls": b"3"}}

def encoded():
    return reader().map_samples(labelled)

def broken(key, components):
    return {{"cls": components["text"]}}

def fails():
    return reader().map_samples(broken)
"""
#: As little as can be measured: every slowness below is overwhelming.
QUICK = ["--repeats", "2", "--seconds", "0.02", "--warm-up", "0"]


@pytest.fixture(scope="module")
def url(drawn, tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("bench"), "train", drawn[:24], [14, 10])


@pytest.fixture
def program(url, tmp_path):
    path = tmp_path / "train.py"
    path.write_text(PROGRAM.format(url=url))
    return lambda function: f"{path}:{function}"


@pytest.fixture
def measured(capsys):
    """Runs the command; gives its record."""

    def run(*arguments):
        assert main(["bench", *arguments, *QUICK, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def bound(report):
    """The name of the loader's bound, and the row that takes most of it."""
    limit = next(limit for limit in report["limits"] if limit["name"] != "model")
    return limit["name"], limit["largest"]


def test_a_throttled_server_is_named(url, measured):
    folder = Path(url).parent
    with served({path.name: path.read_bytes() for path in folder.glob("*.tar")}, together=300_000) as (_, base):
        report = measured(
            f"{base}/train-{{000000..000001}}.tar",
            "--recipe",
            _small(folder),
            "--batch-size",
            "8",
            "--concurrency",
            "2",
        )
    assert bound(report)[0] == report["bound"] == "storage"
    assert report["verdict"][0].startswith("The run is bound by storage: at most ")
    assert any("cache_dir" in change for change in report["changes"])


def _small(folder):
    """A recipe that asks little of the cores."""
    path = folder / "small.json"
    path.write_text(sa.Recipe([sa.ops.Resize(24)]).to_json())
    return str(path)


@pytest.mark.parametrize(("function", "largest"), [("slow_function", "MapBatch(slow)"), ("slow_operation", "Sleepy")])
def test_a_slow_operation_is_named(program, measured, function, largest):
    report = measured("--chain", program(function))
    assert report["bound"] == "python"
    assert bound(report) == ("python", largest)
    assert any(f"Make {largest} faster" in change for change in report["changes"])
    rows = {row["name"]: row for row in report["rows"]}
    assert max(rows, key=lambda name: rows[name]["share"]) == largest
    assert rows[largest]["images_per_second"]["median"] < 8 / 0.14  # it sleeps 0.15 s a batch, whatever else runs here
    assert all(row["share"] is not None and 0 <= row["share"] <= 1 for row in report["rows"])


def test_views_that_are_cut_from_one_image_are_measured(url, measured, tmp_path):
    recipe = tmp_path / "ten.json"
    recipe.write_text(sa.recipes.imagenet_tta("ten_crop", 16, 20).to_json())
    report = measured(url, "--recipe", str(recipe), "--batch-size", "8")
    rows = {row["name"]: row for row in report["rows"]}
    assert {"decode", "ResizeShortest + 10 views"} <= set(rows), rows


@pytest.mark.skipif(usable_cores() < 2, reason="with one core a second thread changes nothing")
def test_one_thread_is_named(program, measured):
    report = measured("--chain", program("one_thread"))
    assert bound(report)[0] == report["bound"] == "threads"
    assert f"num_threads={int(usable_cores()) + 1}" in report["changes"][0]


def test_a_slow_model_is_named_and_the_page_says_all(url, capsys, tmp_path):
    page = tmp_path / "report.html"
    shards = ["--recipe", _small(Path(url).parent), "--batch-size", "8", *QUICK]
    named = ["--model", "resnet50", "--step-ms"]
    assert main(["bench", url, *shards, *named, "1e6", "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "The model would not wait, it bounds the run: resnet50 takes 0 images/s (8 in 1e+06 ms)" in out
    assert "Nothing in the loader: the model is slower." in out
    (limit,) = (line for line in out.splitlines() if line.startswith("limit: the model"))
    assert re.search(r" 0 images/s, the chain gives [\d,.]+ times as many$", limit)
    for name in ("storage", "headers", "plan of a batch", "decode", "Resize", "MixupOrCutMix", "whole chain"):
        assert f"\n{name}" in out
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "resnet50" in text
    assert not any(mark in text for mark in ("src=", "href=", "<script", "@import"))
    assert main(["bench", url, *shards, *named, "1e-6"]) == 0
    assert "The model would wait: resnet50 takes 8,000,000,000 images/s" in capsys.readouterr().out


def test_a_chain_without_images_is_measured_too(program, measured):
    report = measured("--chain", program("encoded"))
    assert [row["name"].partition(",")[0] for row in report["rows"]] == [
        "storage",
        "MapSamples(labelled)",
        "Python between the stages",
    ]
    assert report["bound"] in ("storage", "cores", "python")


def test_an_error_of_the_chain_is_one_line_that_says_where(program, capsys):
    assert main(["bench", "--chain", program("fails"), *QUICK]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "train.py:fails: its batches must be made without an error, got KeyError: 'text'" in error
    assert "train.py, line " in error


@pytest.mark.slow
def test_peers_take_turns_on_the_same_shards(url, measured):
    shards = [url, "--recipe", _small(Path(url).parent), "--batch-size", "8"]
    peers = {peer["peer"]: peer for peer in measured(*shards, "--against", "dali,webdataset")["peers"]}
    assert list(peers) == ["streamaug", "dali", "webdataset"]
    for peer in peers.values():
        assert peer["images_per_second"]["median"] > 0
        assert peer["core_ms"]["median"] > 0


@pytest.mark.slow
def test_torchvision_takes_its_turns_where_it_is_installed(url, measured):
    pytest.importorskip("torchvision.transforms.v2", reason="its wheel does not load beside torch's CPU build")
    shards = [url, "--recipe", _small(Path(url).parent), "--batch-size", "8"]
    peers = {peer["peer"]: peer for peer in measured(*shards, "--against", "torchvision")["peers"]}
    assert list(peers) == ["streamaug", "torchvision"]
    assert peers["torchvision"]["images_per_second"]["median"] > 0
    assert peers["torchvision"]["core_ms"]["median"] > 0


@pytest.mark.slow
def test_a_peer_that_cannot_be_imported_is_named(url, capsys, tmp_path, monkeypatch):
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('built for another torch')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert main(["bench", url, "--against", "torchvision", *QUICK]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--against: torchvision must be installed and able to run here, got ImportError: built for another" in error


def test_peers_read_no_remote_shards(url, capsys):
    folder = Path(url).parent
    with served({path.name: path.read_bytes() for path in folder.glob("*.tar")}) as (_, base):
        assert main(["bench", f"{base}/train-000000.tar", "--batch-size", "8", "--against", "dali", *QUICK]) == 2
    assert "--against: peers read local shards, got http://" in capsys.readouterr().err


def test_an_interval_is_two_of_the_values_that_enclose_the_median_so_often():
    assert coverage(5, 1) == pytest.approx(1 - 2 / 32)
    found = median_interval([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.median, found.low, found.high) == (3.0, 1.0, 5.0)
    nine = median_interval(list(range(1, 10)))
    assert (nine.median, nine.low, nine.high) == (5, 2, 8)
    assert nine.confidence == pytest.approx(1 - 2 * (1 + 9) / 512)
