import json
import subprocess
import sys
from pathlib import Path

import pytest
from tars import as_webdataset_reads, pairs, write_tar, write_tars

from streamaug.cli import COMMANDS, main
from streamaug.shards import ShardSet


@pytest.fixture
def folder(tmp_path):
    listings = [[(f"__meta{number}__", b"m"), *pairs(4 + number, start=10 * number)] for number in range(3)]
    return write_tars(tmp_path, listings, digits=3)


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


def test_an_output_in_the_home_folder_is_there(folder, tmp_path, monkeypatch):
    """A shell leaves the ~ of `--output=~/indexes` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["index", str(folder / "x-000.tar"), "--output=~/indexes"]) == 0
    assert (tmp_path / "home" / "indexes" / "index.json").exists()
    assert not (tmp_path / "~").exists()


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


@pytest.mark.slow
def test_the_installed_command_runs(folder):
    command = Path(sys.executable).with_name("streamaug")
    done = subprocess.run([command, "index", folder / "x-000.tar"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 shard, 4 samples")


def test_what_a_manifest_says_of_other_shards_stays_as_it_is(folder):
    (folder / "sub").mkdir()
    others = [
        {"url": "sub/x-000.tar", "nsamples": 7, "md5sum": "abc"},
        {"url": "s3://bucket/a.tar", "nsamples": 3, "filesize": -1, "mine": [1, None]},
        "no item at all",
    ]
    (folder / "index.json").write_text(
        json.dumps({"name": "mine", "__kind__": "wids-shard-index-v1", "wids_version": 2, "shardlist": others})
    )
    assert main(["index", str(folder / "x-{000..001}.tar")]) == 0
    content = json.loads((folder / "index.json").read_text())
    assert content["shardlist"][:3] == others
    assert [(s["url"], s["nsamples"]) for s in content["shardlist"][3:]] == [("x-000.tar", 4), ("x-001.tar", 5)]
    assert {name: content[name] for name in content if name != "shardlist"} == {
        "name": "mine",
        "__kind__": "wids-shard-index-v1",
        "wids_version": 2,
    }


@pytest.mark.parametrize("name", ["x-001.tar", "./x-001.tar", "{folder}/x-001.tar", "file://{folder}/x-001.tar"])
def test_a_shard_that_is_listed_already_is_updated_in_its_place(folder, name, monkeypatch):
    url = name.format(folder=folder)
    size = (folder / "x-001.tar").stat().st_size
    listed = [{"url": url, "nsamples": 5, "filesize": size, "md5sum": "abc"}, {"url": "a.tar", "nsamples": 1}]
    (folder / "index.json").write_text(json.dumps({"shardlist": listed}))
    monkeypatch.chdir(folder)
    assert main(["index", "x-001.tar", "--checksum"]) == 0
    now = [listed[0] | {"checksums": "crc32c"}, listed[1]]
    assert json.loads((folder / "index.json").read_text())["shardlist"] == now
    write_tar(folder / "x-001.tar", pairs(9))
    assert main(["index", "x-001.tar"]) == 0
    now[0] = {"url": url, "nsamples": 9, "filesize": (folder / "x-001.tar").stat().st_size}
    assert json.loads((folder / "index.json").read_text())["shardlist"] == now


@pytest.mark.parametrize("content", ['{"files": ["a"]}', "[1]", '{"shard_lengths": [1], "filenames": ["a.tar"]}'])
def test_a_file_of_the_name_that_is_no_such_manifest_is_left_alone(folder, capsys, content):
    (folder / "index.json").write_text(content)
    assert main(["index", str(folder / "x-{000..002}.tar")]) == 1
    assert "index.json: must be a manifest" in capsys.readouterr().err
    assert (folder / "index.json").read_text() == content
    assert not list(folder.glob("*.idx"))


def test_a_folder_of_the_same_name_inside_is_another_folder(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    write_tar(tmp_path / "d/x.tar", pairs(3))
    (tmp_path / "d/index.json").write_text(json.dumps({"shardlist": [{"url": "d/x.tar", "nsamples": 8}]}))
    monkeypatch.chdir(tmp_path)
    assert main(["index", "d/x.tar"]) == 0
    shardlist = json.loads((tmp_path / "d/index.json").read_text())["shardlist"]
    assert [(s["url"], s["nsamples"]) for s in shardlist] == [("d/x.tar", 8), ("x.tar", 3)]


def test_shards_that_would_share_an_index_file_are_refused_before_anything_is_written(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "x.tar", pairs(3))
    output = tmp_path / "out"
    assert main(["index", "--output", str(output), str(tmp_path / "{a,b}/x.tar")]) == 2
    assert f"got {output / 'x.idx'} for {tmp_path / 'a/x.tar'} and {tmp_path / 'b/x.tar'}" in capsys.readouterr().err
    assert not output.exists()
    assert main(["index", str(tmp_path / "{a,b}/x.tar")]) == 0


def test_a_shard_that_is_named_twice_counts_once(folder, capsys):
    assert main(["index", *[str(folder / "x-000.tar")] * 2]) == 0
    assert capsys.readouterr().out.startswith("1 shard, 4 samples")


def test_a_manifest_elsewhere_is_updated_where_it_names_the_shard_itself(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    item = {"url": str(folder / "x-000.tar"), "nsamples": 4, "filesize": -1, "md5sum": "abc"}
    (output / "index.json").write_text(json.dumps({"shardlist": [item]}))
    assert main(["index", str(folder / "x-000.tar"), "--output", str(output)]) == 0
    size = (folder / "x-000.tar").stat().st_size
    assert json.loads((output / "index.json").read_text())["shardlist"] == [item | {"filesize": size}]
