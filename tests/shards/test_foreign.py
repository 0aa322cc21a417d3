"""Files that are no tar are called what they are, however short they are."""

import gzip
import json
import warnings

import pytest
from servers import http_proxy
from tars import pairs, write_tar

import streamaug as sa
from streamaug.cli import main
from streamaug.shards.foreign import foreign

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 14725120\n"
S3 = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("data", "kind", "fix"),
    [
        (LFS, "a git-lfs pointer", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1048576--ab.tar\n", "a git-annex pointer", "git annex get"),
        (S3, "an error of an object store, AccessDenied", "check the URL"),
        (PAGE, "a web page", "check the URL"),
        (b'{"error": "not found"}', "JSON", "check the URL"),
        (b"Not Found\n", "a text, 'Not Found", "check the path"),
        (b"/data/x-0.tar\n/data/x-1.tar\n", "a list of names, '/data/x-0.tar", "a list"),
        (b"s3://bucket/x-0.tar\r\ns3://bucket/x-1.tar", "a list of names, 's3://bucket/x-0.tar", "a list"),
        (b"0123\n4567\n", "a text", "check the path"),
        (b"outs:\n- md5: 0123\n  path: train.tar\n", "a text", "pointer"),
        (gzip.compress(bytes(10240), mtime=0), "gzip", "gunzip"),
        (b"PAR1" + bytes(100), "Parquet", "make-shards"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7-Zip", "as a tar"),
        (b"v1.2 3\njpg 512 2 a.jpg\n", "an index file", "name the tar"),
        (b"", "an empty file", "write it again"),
    ],
)
def test_a_short_file_is_not_called_cut_but_what_it_is(tmp_path, data, kind, fix):
    path = tmp_path / "x-000000.tar"
    path.write_bytes(data)
    with pytest.raises(sa.ShardError) as caught:
        sa.ShardSet.open(str(path))
    assert str(caught.value).startswith(f"{path} at offset 0: a shard must be ")
    assert kind in str(caught.value)
    assert fix in str(caught.value)


@pytest.mark.parametrize(("data", "kind"), [(S3, "AccessDenied"), (PAGE, "page"), (b'{"error": 1}', "JSON")])
def test_a_page_longer_than_a_header_is_called_a_page(tmp_path, data, kind):
    path = tmp_path / "x-000000.tar"
    path.write_bytes(data + b" " * 3000)
    with pytest.raises(sa.ShardError, match=rf"x-000000\.tar at offset 0: a shard must be .*{kind}"):
        sa.ShardSet.open(str(path))


@pytest.mark.parametrize("size", [1, 5, 11, 100, 511])
def test_a_tar_that_is_cut_in_its_first_header_is_called_cut(tmp_path, size):
    whole = write_tar(tmp_path / "whole.tar", pairs(3)).read_bytes()
    path = tmp_path / "cut-000001.tar"
    path.write_bytes(whole[:size])
    with pytest.raises(sa.ShardError, match=r"cut-000001\.tar at offset 0: the tar must go on .* truncated"):
        sa.ShardSet.open(str(path))


@pytest.mark.parametrize("name", ["PAR1.jpg", "{a}.jpg", "<b>.jpg", "BZh.jpg", "Not Found.jpg"])
def test_a_tar_whose_first_name_begins_like_another_file_is_a_tar(tmp_path, name):
    path = write_tar(tmp_path / "x-0.tar", [(name, b"1"), (name.replace("jpg", "cls"), b"1")])
    assert sa.ShardSet.open(str(path)).num_samples == 1


def test_bytes_of_no_kind_have_none():
    assert foreign(bytes(range(256)) * 2) is None


@pytest.mark.slow
@pytest.mark.parametrize("with_manifest", [False, True])
def test_a_page_in_the_place_of_an_indexed_shard_is_called_a_page(tmp_path, with_manifest):
    """A sign-in page of a proxy: the index beside it must not be called stale, which would have it written again."""
    path = write_tar(tmp_path / "x-0.tar", pairs(30))
    assert main(["index", str(path)]) == 0
    if not with_manifest:
        (tmp_path / "index.json").unlink()
    for content in (PAGE * 40, json.dumps({"error": "expired"}).encode()):
        path.write_bytes(content)
        with http_proxy(tmp_path, lambda method, url, number: "ignore range") as (_, base):
            options = sa.StorageOptions(request_timeout=1.0, deadline=1.0)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*ignores byte ranges")
                with pytest.raises((sa.ShardError, sa.StorageError), match=r"x-0\.tar.*(web page|JSON)"):
                    list(sa.ShardReader(sa.ShardSet.open(base + "/x-0.tar", storage=options), batch_size=4, lanes=2))
