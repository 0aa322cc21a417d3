"""docs/evidence.md and its charts are what the results say, and each published number's command line is one."""

import importlib
import json
import re
import shlex
import sys
from xml.etree import ElementTree

import pytest
from programs import PIPELINES

ROOT = PIPELINES.parent
PAGE = ROOT / "docs" / "evidence.md"
BENCHMARKS = (
    "evidence",
    "evidence_tables",
    "evidence_charts",
    "evidence_rows",
    "figures",
    "chart",
    "published",
    "harness",
)
PROGRAM = "torchrun --nproc-per-node 8 pipelines/imagenet_train.py "
COMMANDS = [line for line in PAGE.read_text().splitlines() if line.startswith(PROGRAM)]


@pytest.fixture
def benchmarks(monkeypatch):
    """A function that imports a module of benchmarks/."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module
    for name in BENCHMARKS:
        sys.modules.pop(name, None)


def test_tables_and_charts_are_what_the_results_say(benchmarks):
    differing = benchmarks("evidence").differing()
    assert not differing, f"run python benchmarks/evidence.py: {[path.name for path in differing]} differ"


def test_a_changed_result_changes_the_tables(benchmarks):
    results = [
        json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text()) for name in ("accuracy", "evaluate")
    ]
    tables = benchmarks("evidence_tables").tables
    before = tables(*results)
    next(iter(results[0]["runs"].values()))["test"]["plain"]["error"] += 0.1
    results[1]["loaders"]["streamaug, bilinear"]["top1"] -= 0.1
    after = tables(*results)
    changed = {name for name in before if before[name] != after[name]}
    assert {"methods few", "loaders"} <= changed
    assert "published" not in changed


def test_a_page_without_a_place_for_a_table_is_refused(benchmarks):
    with pytest.raises(ValueError, match="must have a place"):
        benchmarks("evidence").filled("<!-- one -->\n<!-- end -->", {"one": "", "two": ""})


@pytest.mark.parametrize("chart", sorted((ROOT / "benchmarks" / "results").glob("*-*.svg")), ids=lambda path: path.name)
def test_a_chart_stands_in_the_page_and_is_whole(chart):
    assert ElementTree.fromstring(chart.read_text()).tag.endswith("svg")
    assert f"../benchmarks/results/{chart.name}" in PAGE.read_text()


def test_every_figure_of_the_pretrained_network_says_that_the_images_were_seen():
    page = PAGE.read_text()
    section = page[page.index("## A pretrained network") :]
    blocks = [part for part in re.split(r"\n(?=<!-- (?!end)|!\[)", section)[1:] if "|" in part or "svg" in part]
    assert len(blocks) >= 4
    for block in blocks:
        assert "training set" in block


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_published_number_has_a_command_line_that_the_program_takes(command, benchmarks, monkeypatch, tmp_path):
    """Its options are what the row beside it says, and the program's own parser reads them."""
    (row,) = [row for row in benchmarks("published").ROWS if row.command == command]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PIPELINES))
    monkeypatch.setattr(sys, "argv", ["imagenet_train.py", *shlex.split(command.removeprefix(PROGRAM))])
    args = importlib.import_module("training_options").arguments("")
    for name in ("training_options", "checkpoints", "launch"):
        sys.modules.pop(name, None)
    assert args.epochs == row.epochs
    assert args.model == row.model
    kind, _, alpha = row.method.partition(" α=")
    assert args.mix == {"crop and flip": "none", "Cutout": "none", "Mixup": "mixup", "CutMix": "cutmix"}[kind]
    if alpha:
        assert getattr(args, f"{args.mix}_alpha") == float(alpha)
    assert (args.cutout is not None) == (kind == "Cutout")
    assert 8 * args.batch_size == {"Mixup": 1024, "CutMix": 256}[row.paper]
    assert args.lanes % 8 == 0


def test_every_published_number_has_its_command_line(benchmarks):
    rows = benchmarks("published").ROWS
    assert [row.command for row in rows] == COMMANDS
    assert len({row.command for row in rows}) == len(rows) == 16
