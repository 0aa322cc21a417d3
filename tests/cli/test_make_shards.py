"""`streamaug make-shards`: what it prints, and with which status it ends."""

import json
import subprocess
import sys

import pytest
from image_folders import contents, image, pets, write_files
from tars import write_tar

from streamaug import ShardSet
from streamaug.cli import main


@pytest.fixture(autouse=True)
def forking(monkeypatch):
    """Workers are forked, though earlier tests may have left threads: starting fresh ones takes their imports."""
    monkeypatch.setattr("streamaug.making.make.may_fork", lambda: True)


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path / "in", pets(12))


def test_an_image_folder_becomes_shards(root, tmp_path, capsys):
    out = f"{tmp_path}/out"
    assert main(["make-shards", root, out, "--shard-size", "20kB", "--processes", "2"]) == 0
    printed, said = capsys.readouterr()
    pattern, _, counts = printed.partition(": ")
    shards = ShardSet.open(pattern)
    size = sum(shard.num_bytes for shard in shards.shards)
    assert counts == f"{len(shards.shards)} shards, 12 samples, {size} bytes, 3 classes\n"
    assert said == ""
    assert main(["make-shards", root, out, "--shard-size", "20kB"]) == 0
    assert (
        capsys.readouterr().err
        == f"make-shards: {len(shards.shards)} of {len(shards.shards)} shards are finished and kept\n"
    )
    assert main(["check", pattern, "--decode", "--num-classes", "3"]) == 0


def test_index_and_checksums_are_those_of_the_index_command(root, tmp_path, capsys):
    main(["make-shards", root, f"{tmp_path}/out", "--shard-size", "20000"])
    before = contents(tmp_path / "out")
    pattern = capsys.readouterr().out.partition(": ")[0]
    for name in before:
        if name.endswith((".idx", ".crc32c", "index.json")):
            (tmp_path / "out" / name).unlink()
    assert main(["index", "--checksum", pattern]) == 0
    assert contents(tmp_path / "out") == before


def test_as_json(root, tmp_path, capsys):
    assert main(["make-shards", root, f"{tmp_path}/out", "--json", "--part", "1/2", "--shard-size", "20000"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop("num_bytes") > 0
    assert said == {
        "shards": f"{tmp_path}/out/shard-{{000000..000003}}.tar",
        "num_shards": 2,
        "num_samples": 6,
        "num_classes": 3,
        "num_kept": 0,
        "bad": [],
        "is_complete": False,
        "waiting_for": [0],
        "suffixes": ["cls", "jpg"],
    }


def test_bad_samples_are_listed_with_status_1_and_left_out_when_asked_to(root, tmp_path, capsys):
    write_files(root, {"ant/bad.jpg": b"no image", "bee/cut.jpg": image(0)[:-40]})
    arguments = ["make-shards", root, f"{tmp_path}/out", "--shard-size", "20000"]
    assert main(arguments) == 1
    printed, said = capsys.readouterr()
    listed = (
        f"{root}/ant/bad.jpg: the bytes start with 0x6e6f20696d616765, which is no image format that can be read\n"
        f"{root}/bee/cut.jpg: the JPEG has no end-of-image marker: it was cut off\n"
    )
    assert printed == listed
    assert "2 samples cannot be used, so no manifest was written." in said
    assert main([*arguments, "--json"]) == 1
    assert [bad["key"] for bad in json.loads(capsys.readouterr().out)["bad"]] == ["ant/bad", "bee/cut"]
    assert main([*arguments, "--skip-bad"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(listed)
    assert printed.endswith("2 samples were left out\n")


def test_components_that_the_reader_must_be_told_are_said(tmp_path, capsys):
    root = write_files(tmp_path / "in", {"a/x.tif": image(0, "TIFF"), "a/y.jpg": image(1)})
    main(["make-shards", root, f"{tmp_path}/out"])
    assert capsys.readouterr().out.endswith('open them with components=("jpg;tif", "cls")\n')
    write_tar(tmp_path / "x.tar", [("x.png", image(0, "PNG"))])
    main(["make-shards", f"{tmp_path}/x.tar", f"{tmp_path}/out2"])
    assert capsys.readouterr().out.endswith('open them with components=("png",)\n')


def test_parts_say_who_is_missing(root, tmp_path, capsys):
    arguments = ["make-shards", root, f"{tmp_path}/out", "--shard-size", "20000", "--part"]
    assert main([*arguments, "1/3"]) == 0
    assert capsys.readouterr().out.endswith("written by the last part; still missing, counted from 0: 0, 2\n")
    assert main([*arguments, "0/3"]) == main([*arguments, "2/3"]) == 0
    assert "still missing" not in capsys.readouterr().out.splitlines()[-1]


def test_images_are_reduced(root, tmp_path):
    assert main(["make-shards", root, f"{tmp_path}/out", "--max-side", "30", "--quality", "80"]) == 0
    record = json.loads((tmp_path / "out/make-shards.json").read_text())
    assert (record["max_side"], record["quality"]) == (30, 80)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{in}", "{out}", "--quality", "80"], "--quality: needs --max-side"),
        (["{in}", "{out}", "--max-side", "9", "--quality", "101"], "quality: must be 1 to 100, got 101"),
        (["{in}", "{out}", "--max-side", "0"], "--max-side: must be at least 1, got 0"),
        (["{in}", "{out}", "--processes", "0"], "--processes: must be at least 1, got 0"),
        (["{in}", "{out}", "--part", "3/2"], "part: must be I/N"),
        (["{in}", "{out}", "--part", "x"], "must be I/N, as in 1/4, got 'x'"),
        (["{in}", "{out}", "--shard-size", "1XB"], "must be a size like 256MB or 1GiB, got '1XB'"),
        (["{in}", "{out}", "--classes", "/nowhere"], "classes: must be a readable table, got '/nowhere'"),
        (["/nowhere", "{out}"], "SOURCE: must exist, got '/nowhere'"),
        (["{in}"], "the following arguments are required: OUTPUT"),
        (["{in}", "{in}/x"], "OUTPUT: must not lie in SOURCE"),
        (["{in}", "s4://bucket/x"], "the scheme must be one of"),
        (["{in}", "s3://"], "a URL must name a host or bucket"),
    ],
)
def test_a_mistake_is_named_in_one_line(root, tmp_path, capsys, arguments, message):
    given = [argument.format(**{"in": root, "out": f"{tmp_path}/out"}) for argument in arguments]
    assert main(["make-shards", *given]) in (1, 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_dali_is_not_imported(root, tmp_path):
    program = (
        "import sys; from streamaug.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(status or any(name.startswith('nvidia.dali') for name in sys.modules))"
    )
    command = [sys.executable, "-W", "error", "-c", program, "make-shards", root, f"{tmp_path}/out"]
    assert subprocess.run(command, check=False).returncode == 0
