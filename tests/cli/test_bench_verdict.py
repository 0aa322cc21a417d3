"""From figures to a verdict: the lowest limit bounds the chain, and what is said fits it."""

import dataclasses
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

import streamaug as sa
from streamaug import ops, recipes
from streamaug.cli.bench.advice import Facts, advice
from streamaug.cli.bench.clock import Cost, Effort, Work, difference, in_a_row, in_turn
from streamaug.cli.bench.graphs import parts_of, without_antialias
from streamaug.cli.bench.intervals import Interval
from streamaug.cli.bench.machine import Company, tree_cpu, usable_cores
from streamaug.cli.bench.page import page
from streamaug.cli.bench.report import record, verdict
from streamaug.cli.bench.roofline import WORDS, Measured, Row, roofline


def sure(value):
    return Interval(value, value, value, 0.9)


ROWS = (
    Row(name="storage", where="storage", alone=sure(9000), core_ms=sure(0.1)),
    Row(name="headers", where="preparation", alone=sure(10000), core_ms=sure(0.1), serial_ms=0.1),
    Row(name="decode", where="cores", alone=sure(2000), core_ms=sure(1.0)),
    Row(name="Blur", where="cores", alone=sure(4000), core_ms=sure(0.7)),
    Row(name="MapBatch(fn)", where="python", alone=sure(10000), core_ms=sure(0.1), serial_ms=0.1),
)
#: Two cores at 2.0 core-ms an image: 1,000 images/s.
MEASURED = Measured(
    rows=ROWS,
    chain=sure(900),
    chain_core_ms=sure(2.1),
    cores=2.0,
    graph_core_ms=1.7,
    graph_threads=3,
    python_ms=0.2,
    ahead_ms=0.1,
    batch_size=64,
)
FACTS = Facts(
    is_local=True,
    has_cache=False,
    concurrency=16,
    num_bytes=10**9,
    available_memory=10**10,
    window_fits=True,
    on_gpu=False,
    short_side=375,
    size=224,
    without_antialias_ms=None,
    border_share=0.0,
    epoch_batches=100,
    busy=False,
    cores_left=2.0,
    own_functions=("MapBatch(fn)",),
)


def changed(row, **values):
    """The rows with another figure in one of them."""
    return tuple(dataclasses.replace(each, **values) if each.name == row else each for each in ROWS)


@pytest.mark.parametrize(
    ("values", "bound", "largest", "limit", "said"),
    [
        ({}, "cores", "decode", 1000, "Decode on a GPU"),
        ({"rows": changed("Blur", core_ms=sure(5.0))}, "cores", "Blur", 2000 / 6.3, "More cores"),
        ({"rows": changed("storage", alone=sure(50))}, "storage", "storage", 50, "a faster disk"),
        ({"graph_threads": 1}, "threads", "decode", 1000 / 1.7, "augment(num_threads=3)"),
        ({"python_ms": 4.0}, "python", "MapBatch(fn)", 250, "Make MapBatch(fn) faster"),
        ({"ahead_ms": 5.0}, "preparation", "headers", 200, "Larger batches"),
        ({"graph_speed": 300.0}, "gpu", "decode", 300, "hw_decoder_load"),
        ({"step_ms": 640.0}, "model", "", 100, "the model is slower"),
        (
            {"rows": (*ROWS, Row(name="copy", where="copy", alone=sure(9), core_ms=sure(9.0), in_chain=False))},
            "copy",
            "copy",
            9,
            "Copy less",
        ),
    ],
)
def test_the_lowest_limit_bounds_the_chain(values, bound, largest, limit, said):
    roof = roofline(dataclasses.replace(MEASURED, **values))
    assert (roof.bound.name, roof.bound.largest) == (bound, largest)
    assert roof.bound.images_per_second == pytest.approx(limit)
    assert any(said in sentence for sentence in advice(roof, FACTS))
    assert any(WORDS[bound] in sentence for sentence in verdict(roof, "the model"))
    shares = [roof.share(row) for row in roof.measured.rows if row.in_chain]
    assert sum(shares) == pytest.approx(1)
    assert roof.reached == pytest.approx(900 / roof.loader_bound.images_per_second)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"rows": changed("storage", alone=sure(50))},
            "gives 18.0 times its bound: its runs had batches that were read",
        ),
        ({"chain": sure(1300)}, "gives 1.3 times its bound: its runs had a machine less busy"),
        ({"chain": sure(1050)}, None),
    ],
)
def test_a_chain_above_its_bound_is_explained(values, said):
    sentences = advice(roofline(dataclasses.replace(MEASURED, **values)), FACTS)
    assert [said in each for each in sentences if "times its bound" in each] == ([] if said is None else [True])


def test_an_operation_that_waits_keeps_the_thread_that_prepares():
    rows = changed("Blur", serial_ms=30.0)
    ahead = roofline(dataclasses.replace(MEASURED, rows=rows, ahead_ms=30.1))
    assert (ahead.bound.name, ahead.bound.largest) == ("preparation", "Blur")
    beside = roofline(dataclasses.replace(MEASURED, rows=rows, ahead_ms=0.0, python_ms=30.2))
    assert (beside.bound.name, beside.bound.largest) == ("python", "Blur")
    assert beside.share(rows[3]) == pytest.approx(30 / 31.3)


def test_a_model_waits_for_what_the_chain_lacks():
    fast = roofline(dataclasses.replace(MEASURED, step_ms=32.0))
    assert fast.wait_ms == pytest.approx(64 / 0.9 - 32)
    assert verdict(fast, "resnet50")[0] == (
        "The model would wait: resnet50 takes 2,000 images/s (64 in 32 ms), so 39.1 ms of each step of 71.1 ms go by "
        "without a batch."
    )
    assert fast.bound.name == "cores"
    between = roofline(dataclasses.replace(MEASURED, chain=sure(80), step_ms=640.0))
    assert (between.limits[0].name, between.bound.name) == ("model", "cores")
    assert not any("the model is slower" in sentence for sentence in advice(between, FACTS))
    slow = roofline(dataclasses.replace(MEASURED, step_ms=640.0))
    assert slow.wait_ms == 0
    assert verdict(slow, "resnet50")[0].endswith("(64 in 640 ms); the chain gives 9.0 times as many.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"without_antialias_ms": 0.4}, "antialias=False in the recipe saves 0.40 core-ms an image: at most 1,250"),
        ({"short_side": 1200}, "make-shards --max-side 512"),
        ({"border_share": 0.2, "epoch_batches": 7}, "The borders of epochs take 20% of the time: an epoch has 7"),
        ({"window_fits": False}, "More memory: the reader's window does not fit"),
        ({"num_bytes": 10**12}, "More memory: the shards' 1,000 GB do not fit the 10 GB"),
    ],
)
def test_advice_fits_the_facts(values, said):
    roof = roofline(MEASURED)
    assert any(said in sentence for sentence in advice(roof, dataclasses.replace(FACTS, **values)))
    assert not any(said in sentence for sentence in advice(roof, FACTS))


def test_remote_shards_are_advised_a_cache_once():
    roof = roofline(dataclasses.replace(MEASURED, rows=changed("storage", alone=sure(50))))
    remote = dataclasses.replace(FACTS, is_local=False)
    assert any("cache_dir" in sentence for sentence in advice(roof, remote))
    cached = advice(roof, dataclasses.replace(remote, has_cache=True))
    assert not any("cache_dir" in sentence for sentence in cached)
    assert any("concurrency=64" in sentence for sentence in cached)


def test_a_busy_machine_is_said():
    assert not Company(0.1, 0.05, 0.0, 2.0).busy
    for company in (Company(0.1, 1.5, 0.0, 2.0), Company(0.1, 0.0, 0.3, 2.0)):
        assert company.busy
        assert company.sentence().startswith("The machine was busy")
    roof = roofline(dataclasses.replace(MEASURED, chain=sure(250)))
    facts = dataclasses.replace(FACTS, busy=True, cores_left=0.5)
    assert "others left 0.50 of 2 cores, where the cores' limit is some 250 images/s" in advice(roof, facts)[-1]
    assert "No single limit explains it" in advice(roof, FACTS)[-1]


def test_the_parts_of_a_recipe_end_with_the_whole_recipe():
    heavy = sa.Recipe([ops.ResizeShortest(40), ops.CenterCrop(32), ops.Rotate(degrees=5), ops.Rotate(degrees=9)])
    parts = parts_of(heavy)
    assert [name for name, _ in parts] == ["ResizeShortest + CenterCrop", "Rotate", "Rotate 2"]
    assert parts[-1][1] == heavy
    views = recipes.imagenet_tta("ten_crop", size=32, resize=40)
    assert [name for name, _ in parts_of(views)] == ["ResizeShortest + 10 views"]
    assert parts_of(views)[-1][1] == views


def test_the_variant_without_antialiasing_is_the_same_recipe_else():
    assert without_antialias(recipes.imagenet_train()) == recipes.imagenet_train(antialias=False)
    assert without_antialias(recipes.imagenet_train(antialias=False)) is None
    assert without_antialias(recipes.imagenet_train(interpolation="bicubic")) is None


class _Counted(Work):
    def __init__(self, log, name):
        self.log, self.name = log, name

    def begin(self):
        self.log.append(f"begin {self.name}")

    def step(self):
        self.log.append(self.name)
        return 2

    def end(self):
        self.log.append(f"end {self.name}")


def test_works_take_turns_and_the_first_step_is_never_on_the_clock():
    log, steps = [], []
    costs = in_turn({name: _Counted(log, name) for name in "ab"}, Effort(2, 0.0, 0.0), step=lambda: steps.append(1))
    turn = {name: [f"begin {name}", name, name, f"end {name}"] for name in "ab"}
    assert log == turn["a"] + turn["b"] + turn["b"] + turn["a"]
    assert len(steps) == 4
    assert [len(rows) for rows in costs.values()] == [2, 2]
    log.clear()
    assert len(in_a_row(_Counted(log, "a"), Effort(3, 0.0, 0.0), step=lambda: None)) == 3
    assert log == ["begin a", "a", "a", "a", "a", "end a"]


def test_a_cost_is_counted_an_image():
    cost = Cost(images=10, seconds=2.0, cpu=1.0, thread_cpu=0.5, delayed=0.75)
    assert (cost.images_per_second, cost.core_ms, cost.thread_ms, cost.serial_ms) == (5, 100, 50, 125)
    less = Cost(images=10, seconds=1.0, cpu=0.4, thread_cpu=0.5, delayed=0.0)
    assert difference([cost, cost], [less, less], lambda each: each.core_ms).median == pytest.approx(60)


def test_the_cores_and_the_time_of_a_tree_of_processes_are_read():
    assert 0 < usable_cores() <= len(os.sched_getaffinity(0))
    before = tree_cpu(os.getpid())
    while tree_cpu(os.getpid()) == before:  # until a tick is counted
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(io.BytesIO(), "JPEG")


def test_the_page_escapes_what_it_shows_and_draws_every_limit():
    roof = roofline(dataclasses.replace(MEASURED, step_ms=32.0))
    settings = {"chain": "<Chain>", "source": "a/b&c.tar", "samples": 5, "shards": 1, "bytes": 10, "batch_size": 64}
    settings |= {"repeats": 5, "seconds": 1.0, "model": "a<b"}
    peer = {"peer": "dali", "name": "dali & reader", "images_per_second": _plain(880), "core_ms": _plain(2.0)}
    report = record(
        roof,
        settings=settings,
        company=Company(0.1, 1.5, 0.0, 2.0),
        changes=["Change <this>."],
        peers=[peer],
        without_antialias_ms=None,
    )
    text = page(report)
    for shown in ("&lt;Chain&gt;", "b&amp;c.tar", "a&lt;b takes", "Change &lt;this&gt;.", "dali &amp; reader"):
        assert shown in text
    for limit in roof.limits:
        assert f">{WORDS[limit.name]}</text>" in text
    assert 'class="busy"' in text
    assert text.count("<svg") == 2
    assert re.findall(r"<div class=\"wide\"><(svg|table)", text) == re.findall(r"<(svg|table)\b", text)
    assert "div.wide { overflow-x: auto; }" in text  # the page itself does not scroll sideways


def _plain(value):
    return {"median": value, "low": value, "high": value, "confidence": 0.9}
