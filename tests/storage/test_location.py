from pathlib import Path

import pytest

from streamaug.storage.location import Location, shown
from streamaug.storage.remote.providers import PROVIDERS
from streamaug.storage.urls import expand


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/d/a b.tar", ("file", "", "/d/a b.tar")),
        (Path("/d/a b.tar"), ("file", "", "/d/a b.tar")),
        ("d/a.tar", ("file", "", "d/a.tar")),
        ("file:///d/a%20b.tar", ("file", "", "/d/a b.tar")),
        ("s3://bucket/x/a%20.tar", ("s3", "s3://bucket", "x/a%20.tar")),
        ("https://h:8/x/a%20b.tar?sig=1", ("https", "https://h:8/?sig=1", "x/a b.tar")),
    ],
)
def test_a_location_is_scheme_base_and_path(url, expected):
    location = Location.parse(url)
    assert (location.scheme, location.base, location.path) == expected
    assert location.is_local == (expected[0] == "file")
    assert Location.parse(location) is location


def test_a_url_without_a_host_is_refused():
    with pytest.raises(ValueError, match="host or bucket"):
        Location.parse("s3:///a.tar")


@pytest.mark.parametrize(
    ("url", "index", "name"),
    [
        ("a.tar", "a.idx", "a.tar"),
        ("/d.tar/a.tar", "/d.tar/a.idx", "a.tar"),
        ("s3://b/x/a-0.tar", "s3://b/x/a-0.idx", "a-0.tar"),
        ("http://h/a.tar?token=1/2", "http://h/a.idx?token=1/2", "a.tar"),
        ("http://h/x%232%3F%25.tar?s=1", "http://h/x%232%3F%25.idx?s=1", "x#2?%.tar"),
        ("s3://b/x/a?1#2.tar", "s3://b/x/a?1#2.idx", "a?1#2.tar"),
        ("file:///d/a%20b.tar", "file:///d/a%20b.idx", "a b.tar"),
    ],
)
def test_the_index_lies_beside_the_shard(url, index, name):
    location = Location.parse(url)
    assert (location.index.url, location.name) == (index, name)
    assert location.beside(name) == location


def test_nothing_secret_is_shown():
    assert shown("https://user:secret@h/x/a.tar?sig=secret#secret") == "https://h/x/a.tar"
    assert shown("http://user:sec/ret@h/a.tar") == "http://h/a.tar"
    assert shown("/plain/a?b#c.tar") == "/plain/a?b#c.tar"
    assert shown("s3://b/a?b#c@d.tar") == "s3://b/a?b#c@d.tar"
    location = Location.parse("https://user:secret@h/x/a.tar?sig=secret")
    assert (location.shown, location.server, location.folder) == ("https://h/x/a.tar", "https://h/", "https://h/x/")
    assert repr(location) == "Location('https://h/x/a.tar')"
    for source in ("https:///x.tar?sig=secret", "https://u:secret@h/${NOT_SET_ANYWHERE}/x.tar"):
        with pytest.raises(ValueError, match="shards") as caught:
            Location.parse(expand(source)[0])
        assert "secret" not in str(caught.value)


def test_a_signature_does_not_make_another_object_and_another_query_does():
    one = Location.parse("https://h/get?id=1&X-Amz-Signature=2&Expires=3").unsigned
    assert one == Location.parse("https://u:p@h/get?X-Amz-Signature=9&id=1&sig=7").unsigned
    assert one != Location.parse("https://h/get?id=2&X-Amz-Signature=2&Expires=3").unsigned
    assert Location.parse("s3://b/a#1.tar").unsigned != Location.parse("s3://b/a#2.tar").unsigned


#: A URL of every scheme, and the store that it opens; the object in it is x/a.tar.
SCHEMES = {
    "file": ("file:///x/a.tar", ""),
    "s3": ("s3://bucket/x/a.tar", "s3://bucket"),
    "s3a": ("s3a://bucket/x/a.tar", "s3a://bucket"),
    "gs": ("gs://bucket/x/a.tar", "gs://bucket"),
    "az": ("az://container/x/a.tar", "az://container"),
    "azure": ("azure://container/x/a.tar", "azure://container"),
    "adl": ("adl://container/x/a.tar", "adl://container"),
    "abfs": ("abfs://container@account.dfs.core.windows.net/x/a.tar", "abfs://container@account.dfs.core.windows.net"),
    "abfss": (
        "abfss://container@account.dfs.core.windows.net/x/a.tar",
        "abfss://container@account.dfs.core.windows.net",
    ),
    "http": ("http://host/x/a.tar", "http://host"),
    "https": ("https://host/x/a.tar", "https://host"),
    "hf": ("hf://datasets/organisation/name/x/a.tar", "hf://datasets/organisation/name@main"),
}


def test_every_scheme_is_in_the_table():
    assert SCHEMES.keys() == {"file", *PROVIDERS}


@pytest.mark.parametrize(
    ("url", "is_pattern"),
    [
        ("/d/*.tar", True),
        ("/d/a.tar", False),
        ("s3://b/x/a-00?.tar", True),
        ("s3://b/[ab]/a.tar", True),
        ("http://h/a*.tar?sig=1", True),
        ("http://h/a[1].tar", True),
        ("http://h/a%3F%2A%5B1%5D.tar", False),
        ("http://h/a.tar?list=*[1]", False),
        ("http://[::1]:8000/a.tar", False),
        ("https://me:*@h/a.tar", False),
    ],
)
def test_a_pattern_has_its_letters_in_its_path_and_in_a_web_address_as_written(url, is_pattern):
    assert Location.parse(url).is_pattern is is_pattern


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_is_parsed_and_has_its_neighbours(scheme):
    url, base = SCHEMES[scheme]
    location = Location.parse(url)
    assert (location.scheme, location.base, location.path.lstrip("/")) == (scheme, base, "x/a.tar")
    assert Location.parse(scheme.upper() + url.removeprefix(scheme)).scheme == scheme
    assert location.index == Location.parse(url.replace("a.tar", "a.idx"))
    assert location.beside("index.json") == Location.parse(url.replace("a.tar", "index.json"))
