"""Mistakes of a user end every command with one line that says what must hold, and never with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tars import consecutive, pairs, write_tar, write_tars
from watching import PATIENCE

from streamaug.cli import COMMANDS, main
from streamaug.cli.messages import in_options

COMMAND = Path(sys.executable).with_name("streamaug")

#: Command to rows of (arguments, exit status, what the line says); "{x}" is a whole shard.
MISTAKES = {
    "make-shards": [
        (["missing", "out"], 2, "missing"),
        (["images", ""], 2, "OUTPUT: must name a folder or URL, got ''"),
        (["", "out"], 2, "SOURCE: must name a file, folder or URL, got ['']"),
        (["folder", "out"], 2, "SOURCE: must hold a folder for each class, got no folder in 'folder'"),
        (["images", "{x}"], 1, "{x}: the folder must be writable"),
        (["images", "out", "--processes", "0"], 2, "make-shards: --processes: must be at least 1, got 0"),
        (["images", "out", "--quality", "50"], 2, "make-shards: --quality: needs --max-side, got 50 alone"),
        (["images", "out", "--part", "5/4"], 2, "make-shards: --part: must be I/N"),
    ],
    "index": [
        (["missing.tar"], 1, "missing.tar: the file must exist"),
        (["folder"], 1, "folder: a folder of shards must hold .tar files"),
        (["junk.tar"], 1, "junk.tar at offset 0"),
        (["{x}", "--output", "{x}"], 1, "{x}"),
        (["{x}", "--output", "{x}/deeper"], 1, "{x}"),
        (["{x}", "--output", ""], 2, "--output: must name a folder"),
        (["{x}", "--output", "s3://"], 2, "must name a host or bucket"),
        (["{x}", "--concurrency", "0"], 2, "--concurrency: must be positive"),
    ],
    "check": [
        ([""], 2, "shards: at least one path or URL is needed"),
        (["${NOT_SET}/x.tar"], 2, "WDS_NOT_SET"),
        (["x-{0..3.tar"], 2, "x-{0..3.tar"),
        (["{x}", "--components", "jpg,jpg"], 2, "check: --components: each must have a name of its own"),
        (["{x}", "--endpoint", "nonsense"], 2, "--endpoint: must be an http(s) URL"),
        (["{x}", "--deadline", "nan"], 2, "check: --deadline: must be positive, got nan"),
        (["{x}", "--deadline", "-1"], 2, "check: --deadline: must be positive, got -1.0"),
    ],
    "cache": [
        (["missing"], 2, "FOLDER: must hold a cache"),
        (["{x}"], 2, "FOLDER: must hold a cache"),
        (["folder", "--clear"], 2, "FOLDER: must hold a cache"),
    ],
    "completion": [
        (["nosh"], 2, "invalid choice: 'nosh'"),
        ([], 2, "SHELL"),
    ],
    "info": [
        (["{x}", "--cache-dir", ""], 2, "--cache-dir: must be a folder, got ''. Leave it out for the default."),
        (
            ["http://127.0.0.1:9/x.tar", "--deadline", "0.1"],
            1,
            "Check that the server runs, and the port of the URL or of --endpoint.",
        ),
        (["folder", "--split", "train"], 1, "folder: a folder of shards must hold .tar files"),
        (["{x}", "--split", "train"], 2, "info: --split: for what was named it must be left out"),
        (["missing.tar"], 1, "missing.tar: the file must exist"),
        (["{x}", "--samples", "0"], 2, "--samples: must be at least 1, got 0"),
        (["{x}", "--sheet", "sheet.txt"], 2, "--sheet: must be a picture in a folder that exists, got 'sheet.txt'"),
        (["{x}", "--sheet", "no/sheet.png"], 2, "--sheet: must be a picture in a folder that exists"),
    ],
    "order": [
        (["missing.tar"], 1, "missing.tar: the file must exist"),
        (["{x}", "--batch-size", "0"], 2, "--batch-size: must be at least 1, got 0"),
        (
            ["{x}", "--batch-size", "5"],
            2,
            "--batch-size: an epoch must hold at least one global batch, got 4",
        ),
        (["{x}", "--batch-size", "2", "--step", "2"], 2, "the step one of 0..1, got 0 and 2"),
        (
            ["{x}", "--batch-size", "2", "--lanes", "9"],
            2,
            "order: --lanes: must not exceed the number of samples, got 9 lanes for 4 samples. The largest that fits "
            "is --lanes 4.",
        ),
        (["{x}", "--batch-size", "2", "--lanes", "0"], 2, "order: --lanes: must be an integer of at least 1"),
        (
            ["{x}", "--batch-size", "2", "--window", "0"],
            2,
            "order: --window: must be at least 1 sample, got 0. Left out",
        ),
        (["{x}", "--sticky-lanes", "--no-shuffle"], 2, "order: --sticky-lanes: must be False with --no-shuffle"),
    ],
    "batch": [
        (["train", "--epoch", "0", "--step", "0"], 2, "FILE.py:FUNCTION: must name a file and a function in it"),
        (["missing.py:chain", "--epoch", "0", "--step", "0"], 1, "missing.py: must be a file, got none"),
        (["not_python.py:chain", "--epoch", "0", "--step", "0"], 1, "SyntaxError"),
        (["own_recipes.py:chain", "--epoch", "0", "--step", "0"], 1, "must have a function 'chain', got broken, ends"),
        (["own_recipes.py:broken", "--epoch", "0", "--step", "0"], 1, "ZeroDivisionError: division by zero ({folder}"),
        (["own_recipes.py:ends", "--epoch", "0", "--step", "0"], 1, "got SystemExit: 3"),
        (
            ["own_recipes.py:broken", "--epoch", "0", "--step", "0", "--state", "{x}"],
            1,
            "--state: {x} must be a file that",
        ),
        (["own_recipes.py:broken", "--epoch", "0", "--step", "0", "-o", "folder"], 2, "--output: must be a file, got"),
        (
            ["own_recipes.py:broken", "--epoch", "0", "--step", "0", "--save-tensors", "folder"],
            2,
            "--save-tensors: must be a file, got the folder 'folder'",
        ),
    ],
    "bench": [
        ([], 2, "SHARDS, --chain: one of them must be given, got neither"),
        (["{x}", "--chain", "own_recipes.py:broken"], 2, "SHARDS, --chain: one of them must be given, got both"),
        (["missing.tar"], 1, "missing.tar: the file must exist"),
        (["{x}", "--batch-size", "2"], 1, "which is no image format that can be read"),
        (["{x}", "--recipe", "nothing"], 1, "RECIPE: must be one of imagenet_train"),
        (["{x}", "--device", "tpu"], 1, 'bench: --device: must be "auto"'),
        (["{x}", "--components", "txt"], 1, "with --components."),
        (["{x}", "--batch-size", "0"], 2, "--batch-size: must be at least 1, got 0"),
        (["{x}", "--num-classes", "0"], 2, "--num-classes: must be at least 1, got 0"),
        (["{x}", "--threads", "0"], 2, "--threads: must be at least 1, got 0"),
        (["{x}", "--repeats", "1"], 2, "--repeats: must be at least 2, got 1: one run says nothing"),
        (["{x}", "--seconds", "nan"], 2, "--seconds: must be positive and finite, got nan"),
        (["{x}", "--seconds", "inf"], 2, "--seconds: must be positive and finite, got inf"),
        (["{x}", "--warm-up", "-1"], 2, "--warm-up: must be finite and at least 0, got -1.0"),
        (["{x}", "--step-ms", "0"], 2, "--step-ms: must be positive and finite, got 0.0"),
        (["{x}", "--model", "resnet50"], 2, "--step-ms: must say how long a training step of resnet50 takes"),
        (["{x}", "--html", "folder"], 2, "--html: must be a file, got the folder 'folder'. Name a file in it."),
        (["{x}", "--html", "no/x.html"], 2, "--html: must lie in a folder that exists, got 'no/x.html'"),
        (["{x}", "--against", "dali,tf"], 2, "--against: must name peers of dali, webdataset, torchvision, got 'tf'"),
        (["--chain", "train"], 2, "FILE.py:FUNCTION: must name a file and a function in it"),
        (["--chain", "own_recipes.py:broken"], 1, "ZeroDivisionError: division by zero ({folder}"),
    ],
    "preview": [
        (["nothing", "{x}"], 1, "RECIPE: must be one of imagenet_train"),
        (["no_such_module:recipe", "{x}"], 1, "RECIPE: 'no_such_module:recipe' must be importable"),
        (["own_recipes.py:broken", "{x}"], 1, "got a file in 'own_recipes.py:broken'. Write own_recipes:broken."),
        (["..relative:recipe", "{x}"], 1, "RECIPE: '..relative:recipe' must be importable"),
        (["own_recipes:broken", "{x}"], 1, "ZeroDivisionError: division by zero ({folder}/own_recipes.py, line 2)"),
        (["own_recipes:ends", "{x}"], 1, "got SystemExit: 3"),
        (["own_recipes:three", "{x}"], 1, "must be or make a Recipe, got int"),
        (["not_python:recipe", "{x}"], 1, "SyntaxError"),
        (["missing.json", "{x}"], 1, "RECIPE: the file must be readable text, got 'missing.json': No such file"),
        (["binary.json", "{x}"], 1, "RECIPE: the file must be readable text, got 'binary.json': it is not UTF-8"),
        (
            ["imagenet_train", "{x}", "--boxes", "json", "--box-format", "no"],
            1,
            "preview: --box-format: must be one of",
        ),
        (["imagenet_train", "missing.tar"], 1, "missing.tar: the file must exist"),
        (["imagenet_train", "{x}", "-o", "folder"], 2, "--output: must end like a format of images, got 'folder'"),
        (["imagenet_train", "{x}", "-o", "no/x.png"], 2, "--output: must lie in a folder that exists, got 'no/x.png'"),
        (["imagenet_train", "{x}", "--rows", "0"], 2, "--rows, --times: must be at least 1"),
    ],
}
ROWS = [(command, *row) for command, rows in MISTAKES.items() for row in rows]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The current folder, with a shard, files that are none, and recipes of a user's own."""
    write_tar(tmp_path / "x.tar", pairs(4))
    (tmp_path / "folder").mkdir()
    (tmp_path / "images" / "cat").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "images" / "cat" / "1.jpg")
    (tmp_path / "junk.tar").write_bytes(b"junk" * 200)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    (tmp_path / "own_recipes.py").write_text(
        "def broken():\n    return 1 / 0\n\n\ndef ends():\n    raise SystemExit(3)\n\n\nthree = 3\n"
    )
    (tmp_path / "not_python.py").write_text("def x(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_recipes", raising=False)
    return tmp_path


def test_every_command_is_in_the_table():
    assert MISTAKES.keys() == COMMANDS.keys()


@pytest.mark.parametrize(("command", "arguments", "status", "text"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_a_mistake_is_one_line_that_names_it(workplace, capsys, command, arguments, status, text):
    shard = str(workplace / "x.tar")
    given = [argument.replace("{x}", shard) for argument in arguments]
    assert main([command, *given]) == status
    out, error = capsys.readouterr()
    assert out == ""
    line = error.splitlines()[-1] if error.startswith("usage: ") else error.removesuffix("\n")
    assert line.startswith(f"streamaug {command}: ")
    assert "\n" not in line
    assert text.replace("{x}", shard).replace("{folder}", str(workplace)) in error


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["index"], ["preview", "imagenet_train"], ["check", "--rows"]])
def test_arguments_that_do_not_parse_show_the_usage(capsys, arguments):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: streamaug")


@pytest.fixture
def long_report(tmp_path):
    """A shard of which `check` has more to say than a pipe holds."""
    return write_tar(tmp_path / "labels.tar", [(f"{number:06d}.cls", b"1") for number in range(3000)])


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_ends_early_ends_the_command_quietly(long_report, form):
    command = [COMMAND, "check", long_report, *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.stdout.close()
        assert (process.wait(PATIENCE), process.stderr.read()) == (141, "")
    assert first


@pytest.mark.slow
def test_a_reader_that_is_gone_before_anything_is_printed_ends_the_command_quietly(tmp_path):
    folder = write_tars(tmp_path, consecutive([3]))
    command = [COMMAND, "index", *folder.glob("*.tar")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert (process.wait(PATIENCE), process.stderr.read()) == (141, "")
    assert (folder / "index.json").exists()


@pytest.mark.slow
def test_a_name_that_is_no_text_is_printed_all_the_same(tmp_path):
    write_tar(tmp_path / "x.tar", pairs(2))
    odd = os.fsencode(tmp_path) + b"/caf\xe9.tar"
    (tmp_path / "x.tar").rename(os.fsdecode(odd))
    command = [os.fsencode(COMMAND), b"check", odd, b"--num-classes", b"1"]
    done = subprocess.run(
        command,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"caf\\udce9.tar" in done.stdout


@pytest.mark.parametrize(
    ("options", "leads", "text", "expected"),
    [
        (["--lanes"], True, "lanes: must be 4", "--lanes: must be 4"),
        (["--lanes"], False, "lanes: must be readable", "lanes: must be readable"),  # a file of this name
        (["--window"], True, "lanes: must be 4", "lanes: must be 4"),
        ([], True, "StorageOptions.deadline: must be 4", "StorageOptions.deadline: must be 4"),
        (["--deadline"], False, "Raise StorageOptions.deadline.", "Raise --deadline."),
        (["--lanes"], True, "s3://b/lanes=60/x: must be 4", "s3://b/lanes=60/x: must be 4"),
        (
            ["--num-classes"],
            True,
            "Mixup.num_classes: wrong. Write num_classes=4.",
            "Mixup.num_classes: wrong. Write --num-classes 4.",
        ),
    ],
)
def test_parameters_are_spelled_as_options_that_the_command_has(options, leads, text, expected):
    assert in_options(text, options, leads=leads) == expected


def test_what_a_function_of_the_users_sets_is_no_option(workplace, capsys):
    (workplace / "own_chain.py").write_text("def chain():\n    raise ValueError('ShardReader.lanes: must be 4')\n")
    assert main(["batch", "own_chain.py:chain", "--epoch", "0", "--step", "0"]) == 1
    assert main(["bench", "--chain", "own_chain.py:chain"]) == 1
    assert capsys.readouterr().err.count("ShardReader.lanes: must be 4") == 2
