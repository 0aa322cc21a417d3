"""Patterns in URLs: what they match is what they match on disk, and what cannot be listed says so."""

import glob

import pytest
from odd_servers import Reply, served
from remote_shards import NAMES, epoch_of
from servers import AZURE_ACCOUNT, AZURE_KEY, answering, azure_blobs, azurite, http_proxy, proxy_before, s3_environment

import streamaug as sa
from streamaug.shards.sources import list_shards
from streamaug.storage import Storage, StorageOptions

BASE = "s3://bucket/deep/named/"
KEYS = [
    "train-000.tar",
    "train-001.tar",
    "train-0010.tar",
    "val-000.tar",
    "train-000.idx",
    ".hidden.tar",
    "train.tar",
    "a/train-000.tar",
    "a/b/train-000.tar",
    "a/b/c/train-000.tar",
    "a/.cache/train-000.tar",
    "ab/train-000.tar",
    "ab/b/val-000.tar",
    "A/Train-000.tar",
    "with blank/50% of it/x+y.tar",
    "é/ü.tar",
]
PATTERNS = [
    "*.tar",
    "train-*.tar",
    "train-00?.tar",
    "train-00[01].tar",
    "train-00[!0].tar",
    ".*.tar",
    "tr*n.tar",
    "*/train-*.tar",
    "a*/train-*.tar",
    "a*/b/*.tar",
    "a?/*/*.tar",
    "*/train-000.tar",
    "**/train-*.tar",
    "a/**/train-*.tar",
    "a/**/b/**/*.tar",
    "**/b/*.tar",
    "a/**",
    "a/.cache/*",
    "a/**.tar",
    "with blank/50%*/x+*.tar",
    "?/?.tar",
]


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Files with these names."""
    folder = tmp_path_factory.mktemp("named")
    for key in KEYS:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def keys(s3):
    """Objects with these keys; gives the gateway's address."""
    with pytest.MonkeyPatch.context() as patch:
        s3_environment(patch, f"http://{s3[0]}:{s3[1]}")
        storage = Storage(StorageOptions(deadline=60))
        for key in KEYS:
            storage.write(f"{BASE}{key}", b"x")
        storage.write("s3://bucket/in-no-folder.tar", b"x")
    return s3


def listed(url, storage=None):
    storage = storage or Storage(StorageOptions(deadline=20))
    return [shard.url for shard in list_shards(storage, [url], every_split=True, manifests=False)]


def on_disk(folder, pattern):
    """What the pattern matches in a folder: its files, for objects have no folders."""
    matches = glob.glob(str(folder / pattern), recursive=True)  # noqa: PTH207 - the rules that are meant
    return sorted(match.removeprefix(f"{folder}/") for match in matches if (folder / match).is_file())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_the_objects_that_it_matches_as_files(keys, named, monkeypatch, pattern):
    s3_environment(monkeypatch, f"http://{keys[0]}:{keys[1]}")
    expected = on_disk(named, pattern)
    assert expected
    assert listed(BASE + pattern) == [BASE + key for key in expected]


def test_a_pattern_without_a_folder_is_matched_in_the_bucket(keys, monkeypatch):
    s3_environment(monkeypatch, f"http://{keys[0]}:{keys[1]}")
    assert listed("s3://bucket/in-no-*.tar") == listed("s3://bucket/**/in-no-*.tar") == ["s3://bucket/in-no-folder.tar"]


def test_the_set_of_a_pattern_is_that_from_the_disk(in_s3, folder):
    there, here = sa.ShardSet.open(f"{in_s3}x-*.tar"), sa.ShardSet.open(str(folder / "x-*.tar"))
    assert there.num_samples == here.num_samples == 180
    assert there.fingerprint == here.fingerprint
    assert epoch_of(f"{in_s3}x-00000?.tar") == epoch_of(str(folder / "x-{000000..000002}.tar"))


def test_only_the_folders_that_can_match_are_listed(keys, monkeypatch):
    with proxy_before(keys) as (proxy, endpoint):
        s3_environment(monkeypatch, endpoint)
        assert len(listed(f"{BASE}train-*.tar")) == 3
        assert proxy.requests == {"GET": 1}
        assert ["delimiter=%2F" in path for path in proxy.paths] == [True]
        assert ["prefix=deep%2Fnamed%2F&" in f"{path}&" for path in proxy.paths] == [True]


@pytest.mark.parametrize("name", ["one[1].tar", "one*.tar", "one?.tar"])
def test_an_object_of_just_that_name_comes_first(s3, monkeypatch, name):
    s3_environment(monkeypatch, f"http://{s3[0]}:{s3[1]}")
    storage = Storage(StorageOptions(deadline=20))
    for key in (name, "one1.tar", "one12.tar"):
        storage.write(f"s3://bucket/odd-{ord(name[3])}/{key}", b"x")
    assert listed(f"s3://bucket/odd-{ord(name[3])}/{name}") == [f"s3://bucket/odd-{ord(name[3])}/{name}"]


@pytest.mark.parametrize(
    ("pattern", "where"),
    [("nothing-*.tar", ""), ("a/b/*/no.tar", "a/b/"), ("no/**", "no/")],
)
def test_a_pattern_without_a_match_names_the_folder_that_was_listed(keys, monkeypatch, pattern, where):
    s3_environment(monkeypatch, f"http://{keys[0]}:{keys[1]}")
    with pytest.raises(sa.StorageError) as caught:
        listed(BASE + pattern)
    assert f"{BASE}{pattern}: a pattern must match an object, got no match in {BASE}{where}. " in str(caught.value)


def test_more_objects_than_a_page_are_all_listed(s3, monkeypatch):
    """SeaweedFS, as S3, sends a thousand names at once."""
    s3_environment(monkeypatch, f"http://{s3[0]}:{s3[1]}")
    storage = Storage(StorageOptions(deadline=60))
    names = [f"s3://bucket/many/{number:06d}.tar" for number in range(1005)]
    for name in names:
        storage.write(name, b"x")
    assert listed("s3://bucket/many/*.tar") == names
    assert listed("s3://bucket/many/**/*.tar") == names


def test_a_failed_list_is_asked_for_again(keys, monkeypatch):
    with proxy_before(keys, lambda method, path, number: 503 if number == 1 else None) as (proxy, endpoint):
        s3_environment(monkeypatch, endpoint)
        assert len(listed(f"{BASE}train-*.tar")) == 3
        assert proxy.requests == {"GET": 2}


def test_who_may_not_list_is_told_of_braces(monkeypatch):
    with answering(403) as (_, endpoint):
        s3_environment(monkeypatch, endpoint)
        with pytest.raises(sa.StorageError, match=r"needs the right to list s3://bucket/a/\. .*braces.*manifest"):
            listed("s3://bucket/a/*.tar")


PAGES = {
    "well-formed": b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>planted</body></html>",
    "loose": b"<html><head><title>Sign in</title><body><p>planted & more<br></html>",
}
#: S3's own answer to a request for a list.
LIST = (
    b"<ListBucketResult><Name>bucket</Name><Prefix>a/</Prefix><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>"
    b"<Contents><Key>a/x.tar</Key><LastModified>2026-11-28T00:00:00.000Z</LastModified><ETag>1</ETag><Size>1</Size>"
    b"</Contents></ListBucketResult>"
)


def signing_in(page):
    """A captive portal, which answers with a page whatever is asked."""
    return lambda server, request: Reply(200, {"Content-Type": "text/html", "ETag": '"1"'}, page)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("pattern", ["a/*.tar", "**/x-*.tar"])
def test_a_page_in_place_of_a_list_is_called_a_page(monkeypatch, page, pattern):
    with served({}, signing_in(PAGES[page])) as (_, endpoint):
        s3_environment(monkeypatch, endpoint)
        with pytest.raises(sa.StorageError, match=r"web page \(HTML\)") as caught:
            listed(f"s3://bucket/{pattern}", Storage(StorageOptions(deadline=0.5)))
        assert "in place of the list of objects" in str(caught.value)
        assert "planted" not in str(caught.value)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_now_and_then_in_place_of_a_list_loses_no_shard(monkeypatch, page):
    def answer(server, request):
        if request.number <= 2:  # the list, and the question whether a page came in its place
            return signing_in(PAGES[page])(server, request)
        return Reply(200, {"Content-Type": "application/xml"}, LIST)

    with served({}, answer) as (_, endpoint):
        s3_environment(monkeypatch, endpoint)
        assert listed("s3://bucket/a/*.tar") == ["s3://bucket/a/x.tar"]


@pytest.mark.parametrize("base", ["s3://bucket", None])
@pytest.mark.parametrize("path", ["data/", "data/index.json"])
def test_a_page_in_place_of_a_manifest_is_called_a_page(monkeypatch, base, path):
    with served({}, signing_in(PAGES["loose"])) as (_, endpoint):
        s3_environment(monkeypatch, endpoint)
        with pytest.raises(
            sa.StorageError, match=r"/data/.* a web page \(HTML\), titled 'Sign in' came in place"
        ) as caught:
            listed(f"{base or endpoint}/{path}")
        assert "planted" not in str(caught.value)


def test_a_web_server_is_not_listed(folder):
    with http_proxy(folder) as (_, base):
        with pytest.raises(
            sa.StorageError, match=r"/x-\*\.tar: a pattern needs a store .*got http://.*braces.*manifest"
        ):
            listed(f"{base}/x-*.tar")
        (folder / "odd[1]*.tar").write_bytes((folder / NAMES[0]).read_bytes())
        try:
            assert listed(f"{base}/odd[1]*.tar") == [f"{base}/odd[1]*.tar"]
        finally:
            (folder / "odd[1]*.tar").unlink()


def test_azure_is_listed_too(monkeypatch):
    if azurite() is None:
        pytest.skip("Azurite is not installed: it needs npm, then `make test` installs it")
    with azure_blobs("box") as endpoint:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)
        storage = Storage(StorageOptions(deadline=20, endpoint=endpoint))
        for key in ("a/x-0.tar", "a/x-1.tar", "a/b/x-2.tar", "c/x-3.tar"):
            storage.write(f"az://box/{key}", b"x")
        assert listed("az://box/a/x-*.tar", storage) == ["az://box/a/x-0.tar", "az://box/a/x-1.tar"]
        assert listed("az://box/**/x-*.tar", storage) == [
            f"az://box/{key}" for key in ("a/b/x-2.tar", "a/x-0.tar", "a/x-1.tar", "c/x-3.tar")
        ]
