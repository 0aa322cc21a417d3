"""What all commands have in common: examples in their help, exit statuses, JSON, and a script that completes them."""

import argparse
import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import encoded
from shards_on_disk import write_shard, write_shards
from tars import pairs, write_tar

from streamaug.cli import COMMANDS, main, make_parser
from streamaug.storage.cache.blocks import BlockCache

ROOT = Path(__file__).resolve().parents[2]

#: Command to (arguments with which it succeeds, arguments with which it fails with 1 or None where it cannot). A
#: command that is not here must have tests of its own statuses in a file `test_<command>.py`.
RUNS = {
    "make-shards": (["images", "out"], ["torn", "out"]),
    "index": (["x.tar"], ["missing.tar"]),
    "check": (["x.tar"], ["y.tar"]),
    "cache": (["cache"], None),
    "info": (["x.tar"], ["missing.tar"]),
    "order": (["x.tar", "--batch-size", "2"], ["missing.tar"]),
    "batch": (["own.py:chain", "--epoch", "0", "--step", "1"], ["missing.py:chain", "--epoch", "0", "--step", "1"]),
    "preview": (["recipe.json", "x.tar", "--rows", "1", "--times", "1"], ["nothing", "x.tar"]),
    "completion": (["bash"], None),
}
#: Those that print a script or a table for another program.
WITHOUT_JSON = {"completion"}
OWN = """
from pathlib import Path

import streamaug as sa

def chain():
    reader = sa.ShardReader(sa.ShardSet.open("x.tar"), batch_size=2)
    return reader.augment(sa.Recipe.from_json(Path("recipe.json").read_text()), device="cpu", num_threads=1)
"""


@pytest.fixture
def workplace(tmp_path, drawn, monkeypatch):
    """The current folder, with what the arguments of RUNS name."""
    from streamaug import Recipe, ops

    write_shard(tmp_path / "x.tar", drawn[:6])
    write_tar(tmp_path / "y.tar", pairs(2))
    for name, data in (("images", drawn[0][2]), ("torn", drawn[0][2][:200])):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "1.jpg").write_bytes(data)
    (tmp_path / "recipe.json").write_text(Recipe([ops.Resize(16)]).to_json())
    (tmp_path / "own.py").write_text(OWN)
    BlockCache.own_folder(tmp_path / "cache").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def help_of(name):
    """What `streamaug NAME --help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([name, "--help"]) == 0
    return printed.getvalue()


def examples(text):
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("  streamaug ")]


def test_a_command_has_runs_here_or_tests_of_its_own():
    own = {name for name in COMMANDS if (ROOT / "tests" / "cli" / f"test_{name.replace('-', '_')}.py").exists()}
    own |= {name for name in COMMANDS if (ROOT / "tests" / "cli" / name.replace("-", "_")).is_dir()}
    assert COMMANDS.keys() - own <= RUNS.keys() <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_examples_that_parse_and_says_the_exit_statuses(name):
    text = help_of(name)
    assert "exit status: 0 " in text
    parser = make_parser([name])
    shown = examples(text)
    assert shown
    for words in shown:
        assert words[:2] == ["streamaug", name]
        before = words.index(">") if ">" in words else len(words)
        assert parser.parse_args(words[1:before]).command == name


def test_the_page_of_commands_lists_every_command_and_its_examples_parse():
    page = (ROOT / "docs" / "commands.md").read_text()
    assert set(re.findall(r"^\| `streamaug ([\w-]+)", page, re.MULTILINE)) == set(COMMANDS)
    lines = re.findall(r"^streamaug .*$", page, re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" | ")[0].partition(" > ")[0], comments=True)
        assert make_parser(words[1:2]).parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize("name", RUNS)
def test_success_is_0_and_prints_to_stdout_alone(workplace, capsys, name):
    assert main([name, *RUNS[name][0]]) == 0
    out, error = capsys.readouterr()
    assert out
    assert error == ""


@pytest.mark.parametrize("name", [name for name, (_, fails) in RUNS.items() if fails])
def test_a_failure_is_1(workplace, capsys, name):
    assert main([name, *RUNS[name][1]]) == 1
    out, error = capsys.readouterr()
    assert out or error.startswith(f"streamaug {name}: ")
    assert "Traceback" not in error


@pytest.mark.parametrize("name", [name for name in RUNS if name not in WITHOUT_JSON])
def test_json_is_one_object_on_stdout(workplace, capsys, name):
    assert main([name, *RUNS[name][0], "--json"]) == 0
    out, error = capsys.readouterr()
    assert isinstance(json.loads(out), dict)
    assert error == ""


def test_every_command_that_says_facts_says_them_as_json_too():
    assert {name for name in COMMANDS if "--json" not in help_of(name)} == WITHOUT_JSON


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"streamaug \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def completed(script, line):
    """What bash offers at the end of a line."""
    program = f"""
source {shlex.quote(str(script))}
COMP_WORDS=({line})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_streamaug
printf '%s\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False, cwd=script.parent)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_choices_and_paths(workplace, capsys):
    assert main(["completion", "bash"]) == 0
    script = workplace / "script"
    script.write_text(capsys.readouterr().out)
    assert completed(script, "streamaug ''") >= set(COMMANDS)
    assert completed(script, "streamaug make-shards --ski") == {"--skip-bad"}
    assert completed(script, "streamaug order --tail ''") == {"drop", "pad"}
    assert completed(script, "streamaug info x.t") == {"x.tar"}
    assert completed(script, "streamaug cache ca") == {"cache"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_holds_every_command_and_option(capsys, shell):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    parser = make_parser(COMMANDS)
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        assert name in script
        for action in command._actions:
            assert not action.option_strings or action.option_strings[-1].lstrip("-") in script, (name, action.dest)


@pytest.mark.parametrize("command", ["check", "info", "order", "preview"])
def test_a_split_is_chosen_among_several(drawn, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    for split, samples in (("train", drawn[:5]), ("val", drawn[5:8])):
        write_shards(tmp_path, split, samples, [len(samples)])
    more = {"order": ["--batch-size", "3"], "preview": ["-o", "x.png", "--times", "1"]}.get(command, [])
    first = ["imagenet_eval"] if command == "preview" else []
    assert main([command, *first, ".", "--split", "val", "--json", *more]) == 0
    facts = json.loads(capsys.readouterr().out)
    count = len(facts["rows"]) if command == "order" else facts["rows" if command == "preview" else "samples"]
    assert count == 3
    assert main([command, *first, ".", "--split", "test", *more]) == 2
    assert "it must be one of 'train', 'val', got 'test'" in capsys.readouterr().err.replace("validation", "val")


def test_pictures_of_one_split_are_previewed(tmp_path, monkeypatch):
    """The whole image of each row is that of the split."""
    import numpy as np
    from PIL import Image

    from streamaug.cli.preview import GAP, HEAD, TILE

    monkeypatch.chdir(tmp_path)
    for split, level in (("train", 40), ("val", 200)):
        levels = np.full((32, 32, 3), level, np.uint8)
        write_shard(tmp_path / f"{split}-000000.tar", [("k", 0, encoded(levels, "JPEG"))])
    assert main(["preview", "imagenet_eval", ".", "--split", "val", "-o", "x.png", "--rows", "1", "--times", "1"]) == 0
    picture = np.asarray(Image.open("x.png"))[HEAD : HEAD + TILE, GAP : GAP + TILE]
    assert abs(float(picture.mean()) - 200) < 2


@pytest.mark.parametrize(
    "arguments", [["make-shards", "images", "out"], ["index", "x.tar"], ["check", "x.tar"]], ids=lambda given: given[0]
)
def test_a_cluster_without_ray_is_an_error_that_says_what_to_install(workplace, monkeypatch, capsys, arguments):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*arguments, "--ray", "auto"]) == 1
    said = "--ray: needs Ray, got none. Install it: pip install 'streamaug[ray]'.\n"
    assert capsys.readouterr().err.endswith(f"streamaug {arguments[0]}: {said}")
