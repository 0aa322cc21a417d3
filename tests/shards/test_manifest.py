import json

import pytest

from streamaug.errors import IndexFormatError
from streamaug.shards.manifest import Entry, of_shards, parse, write


def test_what_is_written_is_read():
    entries = [Entry(f"s3://b/x/a-{i}.tar", 10 + i, 1000 * i) for i in range(3)]
    assert parse(write(entries).encode(), "s3://b/x/index.json") == entries


def test_it_is_the_json_that_webdataset_names():
    content = json.loads(write([Entry("/d/a.tar", 3, 10240)]))
    assert content == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": [{"url": "a.tar", "nsamples": 3, "filesize": 10240}],
    }


def test_shards_elsewhere_keep_their_place_and_sizes_may_lack():
    text = json.dumps({"shardlist": [{"url": "s3://b/a.tar", "nsamples": 1}, {"url": "sub/b.tar", "nsamples": 2}]})
    assert parse(text.encode(), "/d/index.json") == [Entry("s3://b/a.tar", 1, -1), Entry("/d/sub/b.tar", 2, -1)]


def test_timms_info_is_read():
    split = {"name": "train", "filenames": ["t-0.tar", "t-1.tar"], "shard_lengths": [5, 7], "num_samples": 12}
    text = json.dumps({"splits": {"train": split, "other": {"num_samples": 3}}})
    assert parse(text.encode(), "/d/_info.json") == [
        Entry("/d/t-0.tar", 5, -1, split="train"),
        Entry("/d/t-1.tar", 7, -1, split="train"),
    ]


@pytest.mark.parametrize("text", ["<html>", "", "[1]", '{"version": 2, "shards": []}', '{"splits": {"a": {}}}'])
def test_other_files_of_the_name_are_no_manifest(text):
    assert parse(text.encode(), "/d/index.json") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"shardlist": [{"url": "a.tar", "nsamples"',
        '{"shardlist": [{"url": "a.tar"}]}',
        '{"shardlist": [{"url": "a.tar", "nsamples": "many"}]}',
        '{"shardlist": [{"url": "a.tar", "nsamples": -1}]}',
        '{"shardlist": ["a.tar"]}',
        '{"splits": {"t": {"filenames": ["a.tar"], "shard_lengths": [1, 2]}}}',
    ],
)
def test_a_damaged_manifest_is_an_error_that_names_it(text):
    with pytest.raises(IndexFormatError, match=r"/d/index\.json.*streamaug index"):
        parse(text.encode(), "/d/index.json")


def test_a_shard_is_found_by_its_place_and_only_then_by_its_name():
    listed = ["y.tar", "z/y.tar", "/elsewhere/x.tar", "a/w.tar", "b/w.tar"]
    data = write_wids(listed)
    entries = parse(data, "/d/index.json")
    found = of_shards(entries, ["/d/y.tar", "/d/./z/y.tar", "/d/x.tar", "/d/w.tar", "/d/v.tar"])
    assert {url: entry.num_samples for url, entry in found.items()} == {
        "/d/y.tar": 0,
        "/d/./z/y.tar": 1,
        "/d/x.tar": 2,
    }


def write_wids(names):
    items = [{"url": name, "nsamples": number} for number, name in enumerate(names)]
    return json.dumps({"__kind__": "wids-shard-index-v1", "shardlist": items}).encode()
