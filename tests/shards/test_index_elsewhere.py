"""Shards that cannot be written beside: their indexes, checksums and manifest lie in a folder of their own."""

import json
import shutil

import pytest
from servers import http_proxy
from tars import pairs, write_tar

import streamaug as sa
from streamaug.cli import main


@pytest.fixture
def shards_and_folder(tmp_path):
    folder = tmp_path / "bucket"
    folder.mkdir()
    for number in range(3):
        write_tar(folder / f"x-{number}.tar", pairs(20, size=5000, start=20 * number))
    return folder, tmp_path / "out"


def keys(shards):
    return sorted(key for batch in sa.ShardReader(shards, batch_size=20, lanes=4) for key in batch.origin.keys)


EVERY = [f"k{i:05d}" for i in range(60)]


@pytest.mark.parametrize("checksum", [[], ["--checksum"]])
def test_remote_shards_are_read_by_an_index_elsewhere_with_each_byte_fetched_once(shards_and_folder, checksum, capsys):
    folder, out = shards_and_folder
    total = sum(path.stat().st_size for path in folder.iterdir())
    with http_proxy(folder) as (proxy, base):
        assert main(["index", f"{base}/x-{{0..2}}.tar", "--output", str(out), *checksum]) == 0
        urls = [item["url"] for item in json.loads((out / "index.json").read_text())["shardlist"]]
        assert urls == [f"{base}/x-{number}.tar" for number in range(3)]
        proxy.forget()
        opened = sa.ShardSet.open(out / "index.json")
        assert proxy.requests == {}
        assert keys(opened) == EVERY
        assert not any(path.endswith((".idx", ".crc32c")) for path in proxy.paths)
        assert proxy.bytes <= 1.05 * total  # and the ends of the shards, by which an index is compared
        capsys.readouterr()
        assert main(["check", str(out / "index.json")]) == 1  # the drawn bytes are no images; all else is found
        assert {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()[:-1]} == {"image"}


def test_local_shards_are_named_by_their_paths_and_read_from_any_folder(shards_and_folder, monkeypatch):
    folder, out = shards_and_folder
    monkeypatch.chdir(folder)
    assert main(["index", "x-0.tar", "x-1.tar", "x-2.tar", "--output", str(out)]) == 0
    monkeypatch.chdir(out)
    urls = [item["url"] for item in json.loads((out / "index.json").read_text())["shardlist"]]
    assert urls == [str(folder / f"x-{number}.tar") for number in range(3)]
    assert keys(sa.ShardSet.open("index.json")) == EVERY


def test_what_lies_beside_the_manifest_counts_before_what_lies_beside_the_shard(shards_and_folder):
    folder, out = shards_and_folder
    assert main(["index", str(folder / "x-{0..2}.tar"), "--output", str(out)]) == 0
    (folder / "x-0.idx").write_text("v1.2 7\nan index of others\n")
    assert keys(sa.ShardSet.open(out / "index.json")) == EVERY
    (out / "x-1.idx").rename(folder / "x-1.idx")  # and the other one, where the first is not there
    assert keys(sa.ShardSet.open(out / "index.json")) == EVERY


def test_a_manifest_and_its_shards_can_be_moved_together(shards_and_folder):
    folder, out = shards_and_folder
    assert main(["index", str(folder / "x-{0..2}.tar")]) == 0
    assert json.loads((folder / "index.json").read_text())["shardlist"][0]["url"] == "x-0.tar"
    shutil.move(folder, out)
    assert keys(sa.ShardSet.open(out / "index.json")) == EVERY


def test_a_manifest_of_bare_names_elsewhere_is_mended(shards_and_folder):
    """As `streamaug index --output` of release 0.1.0 wrote it."""
    folder, out = shards_and_folder
    out.mkdir()
    items = [{"url": f"x-{number}.tar", "nsamples": 20, "filesize": 1} for number in range(3)]
    (out / "index.json").write_text(json.dumps({"__kind__": "wids-shard-index-v1", "shardlist": items}))
    assert main(["index", str(folder / "x-{0..2}.tar"), "--output", str(out)]) == 0
    assert keys(sa.ShardSet.open(out / "index.json")) == EVERY
    assert len(json.loads((out / "index.json").read_text())["shardlist"]) == 3


def test_a_manifest_holds_no_signature_and_no_password(shards_and_folder):
    folder, out = shards_and_folder
    with http_proxy(folder) as (_, base):
        signed = f"{base}/x-0.tar?X-Amz-Signature=planted-secret&download=true"
        assert main(["index", signed, "--output", str(out)]) == 0
        text = (out / "index.json").read_text()
        assert "planted" not in text
        assert [item["url"] for item in json.loads(text)["shardlist"]] == [f"{base}/x-0.tar?download=true"]


def test_a_folder_that_cannot_be_written_is_an_error_with_the_way_out(shards_and_folder, capsys):
    folder, _ = shards_and_folder
    (folder / "x-0.idx").mkdir()  # as a read-only file system refuses: nothing can take its place
    assert main(["index", str(folder / "x-0.tar")]) == 1
    text = capsys.readouterr().err
    assert "x-0.idx: the folder must be writable" in text
    assert text.endswith("Or write elsewhere with --output.\n")
    assert len(text.splitlines()) == 1
