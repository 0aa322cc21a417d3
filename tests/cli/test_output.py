"""A file that a command cannot write is an error that names option, file and cause, and what was printed stays."""

import json
import sys
import warnings

import pytest
from shards_on_disk import write_shard

from streamaug.cli import main

PROGRAM = """
import streamaug as sa

def chain():
    reader = sa.ShardReader(sa.ShardSet.open("x.tar"), batch_size=4)
    return reader.augment(sa.Recipe([sa.ops.Resize(16)]), device="cpu", num_threads=1)
"""
BATCH = ["batch", "own.py:chain", "--epoch", "0", "--step", "0"]
BENCH = ["bench", "--chain", "own.py:chain", "--seconds", "0.01", "--warm-up", "0", "--repeats", "2"]
#: Arguments that write a file, the last of which names it, and its option.
WRITES = [
    ([*BATCH, "-o", "full.html"], "--output"),
    ([*BATCH, "--save-tensors", "full.pt"], "--save-tensors"),
    (["preview", "imagenet_eval", "x.tar", "-o", "full.png"], "--output"),
    (["info", "x.tar", "--sheet", "full.png"], "--sheet"),
    ([*BENCH, "--html", "full.html"], "--html"),
]


@pytest.fixture
def workplace(tmp_path, drawn, monkeypatch):
    """The current folder, with a shard, a chain, and links to a device that is always full."""
    write_shard(tmp_path / "x.tar", drawn[:8])
    (tmp_path / "own.py").write_text(PROGRAM)
    for name in ("full.html", "full.png", "full.pt"):
        (tmp_path / name).symlink_to("/dev/full")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "option"), WRITES, ids=[f"{row[0][0]} {row[1]}" for row in WRITES])
def test_a_full_disk_is_an_error_that_names_the_file(workplace, capsys, arguments, option):
    assert main(arguments) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"streamaug {arguments[0]}: {option}: must be writable, got '{arguments[-1]}'")
    assert "No space left on device" in line


def test_the_measurements_are_printed_though_the_page_cannot_be_written(workplace, capsys):
    assert main([*BENCH, "--json", "--html", "full.html"]) == 1
    assert json.loads(capsys.readouterr().out)["rows"]


def test_a_warning_is_a_line_without_code_and_comes_once(workplace, capsys):
    """Each of three ranks has lanes of its own readers, and would warn of them."""
    (workplace / "own.py").write_text(PROGRAM.replace("batch_size=4", "batch_size=2, lanes=2"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*BATCH, "--world-size", "3", "-o", "page.html"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("streamaug batch: warning: ShardReader.lanes: should be a multiple of the 3 ranks, got 2")


def test_a_warning_of_the_users_code_says_where(workplace, capsys):
    (workplace / "own.py").write_text("import warnings\n\n\nwarnings.warn('old data')\n" + PROGRAM)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*BATCH, "-o", "page.html"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"streamaug batch: warning: UserWarning: old data ({workplace / 'own.py'}, line 4)"


@pytest.mark.parametrize(
    "arguments", [BATCH, BENCH, ["preview", "prints:recipe", "x.tar", "-o", "x.png"]], ids=["batch", "bench", "preview"]
)
def test_what_the_users_code_prints_is_no_part_of_the_json(workplace, capsys, monkeypatch, arguments):
    monkeypatch.setattr(sys, "path", [str(workplace), *sys.path])
    monkeypatch.delitem(sys.modules, "prints", raising=False)
    (workplace / "own.py").write_text("print('hello')\n" + PROGRAM)
    (workplace / "prints.py").write_text(
        "import streamaug as sa\nprint('hello')\nrecipe = sa.Recipe([sa.ops.Resize(16)])\n"
    )
    assert main([*arguments, "--json"]) == 0
    out, error = capsys.readouterr()
    assert isinstance(json.loads(out), dict)
    assert "hello" in error
