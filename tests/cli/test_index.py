import json
import subprocess
import sys
from pathlib import Path

import pytest
from tars import as_webdataset_reads, pairs, write_tar

from streamaug.cli import COMMANDS, main
from streamaug.shards import ShardSet


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write_tar(
            tmp_path / f"x-{number:03d}.tar", [(f"__meta{number}__", b"m"), *pairs(4 + number, start=10 * number)]
        )
    return tmp_path


def test_index_writes_what_opening_needs(folder, capsys):
    url = str(folder / "x-{000..002}.tar")
    plain = ShardSet.open(url)
    assert main(["index", url]) == 0
    assert capsys.readouterr().out == f"3 shards, 15 samples, {sum(s.num_bytes for s in plain.shards)} bytes\n"
    names = ["index.json", "x-000.idx", "x-000.tar", "x-001.idx", "x-001.tar", "x-002.idx", "x-002.tar"]
    assert sorted(p.name for p in folder.iterdir()) == names
    indexed = ShardSet.open(url)
    assert indexed.fingerprint == plain.fingerprint
    assert list(indexed.shards) == list(plain.shards)
    for number in range(3):
        assert indexed.index(number).offsets.tolist() == plain.index(number).offsets.tolist()
        assert indexed.index(number).keys == [key for key, _ in as_webdataset_reads(folder / f"x-{number:03d}.tar")]


def test_shards_indexed_earlier_stay_in_the_manifest(folder):
    assert main(["index", str(folder / "x-{001..002}.tar")]) == 0
    assert main(["index", str(folder / "x-000.tar")]) == 0
    content = json.loads((folder / "index.json").read_text())
    assert [(s["url"], s["nsamples"]) for s in content["shardlist"]] == [
        ("x-000.tar", 4),
        ("x-001.tar", 5),
        ("x-002.tar", 6),
    ]


def test_a_rewritten_shard_is_indexed_anew(folder):
    url = str(folder / "x-{000..002}.tar")
    main(["index", url])
    write_tar(folder / "x-001.tar", pairs(9))
    assert main(["index", url]) == 0
    shards = ShardSet.open(url)
    assert [s.num_samples for s in shards.shards] == [4, 9, 6]
    assert len(shards.index(1).keys) == 9


def test_a_damaged_manifest_is_replaced(folder):
    (folder / "index.json").write_text('{"shardlist": [')
    assert main(["index", str(folder / "x-{000..002}.tar")]) == 0
    assert ShardSet.open(str(folder / "index.json")).num_samples == 15


def test_output_elsewhere(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "deep"
    assert main(["index", str(folder / "x-{000..002}.tar"), "--output", str(output)]) == 0
    assert sorted(p.name for p in output.iterdir()) == ["index.json", "x-000.idx", "x-001.idx", "x-002.idx"]
    assert not list(folder.glob("*.idx"))


def test_a_damaged_shard_is_named_and_no_manifest_is_written(folder, capsys):
    path = folder / "x-001.tar"
    path.write_bytes(path.read_bytes()[:3000])
    assert main(["index", str(folder / "x-{000..002}.tar")]) == 1
    assert "x-001.tar at offset" in capsys.readouterr().err
    assert not (folder / "index.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["index", "/nowhere/a.tar"], 1), (["index", ""], 2), (["index"], 2), (["unknown"], 2), ([], 2), (["--help"], 0)],
)
def test_exit_status(arguments, status, capsys):
    assert main(arguments) == status


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert f"streamaug {name}" in capsys.readouterr().out


def test_the_installed_command_runs(folder):
    command = Path(sys.executable).with_name("streamaug")
    done = subprocess.run([command, "index", folder / "x-000.tar"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 shards, 4 samples")
