import pytest

from streamaug.storage.urls import beside, expand, index_url, last_component, locate, shown, versionless


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/d/a b.tar", ("file", "", "/d/a b.tar")),
        ("d/a.tar", ("file", "", "d/a.tar")),
        ("file:///d/a%20b.tar", ("file", "", "/d/a b.tar")),
        ("s3://bucket/x/a%20.tar", ("s3", "s3://bucket", "x/a%20.tar")),
        ("https://h:8/x/a%20b.tar?sig=1", ("https", "https://h:8/?sig=1", "x/a b.tar")),
    ],
)
def test_locate(url, expected):
    assert locate(url) == expected


def test_a_url_without_a_host_is_refused():
    with pytest.raises(ValueError, match="host or bucket"):
        locate("s3:///a.tar")


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
    assert (index_url(url), last_component(url)) == (index, name)
    assert beside(url, name) == url


def test_nothing_secret_is_shown():
    assert shown("https://user:secret@h/x/a.tar?sig=secret#secret") == "https://h/x/a.tar"
    assert shown("http://user:sec/ret@h/a.tar") == "http://h/a.tar"
    assert shown("/plain/a?b#c.tar") == "/plain/a?b#c.tar"
    assert shown("s3://b/a?b#c@d.tar") == "s3://b/a?b#c@d.tar"
    for source in ("https:///x.tar?sig=secret", "https://u:secret@h/${NOT_SET_ANYWHERE}/x.tar"):
        with pytest.raises(ValueError, match="shards") as caught:
            locate(expand(source)[0])
        assert "secret" not in str(caught.value)


def test_a_signature_does_not_make_another_object_and_another_query_does():
    one = versionless("https://h/get?id=1&X-Amz-Signature=2&Expires=3")
    assert one == versionless("https://u:p@h/get?X-Amz-Signature=9&id=1&sig=7")
    assert one != versionless("https://h/get?id=2&X-Amz-Signature=2&Expires=3")
    assert versionless("s3://b/a#1.tar") != versionless("s3://b/a#2.tar")


def test_sources_expand_as_in_webdataset(monkeypatch):
    monkeypatch.setenv("WDS_ROOT", "/d")
    assert expand("${ROOT}/a-{08..10}.tar::b.tar") == ["/d/a-08.tar", "/d/a-09.tar", "/d/a-10.tar", "b.tar"]
    assert expand(["a-{0..1}.tar", "c.tar"]) == ["a-0.tar", "a-1.tar", "c.tar"]


@pytest.mark.parametrize("source", ["", [], "a.tar::", "${NOT_SET_ANYWHERE}/a.tar"])
def test_a_source_that_names_nothing_is_refused(source):
    with pytest.raises(ValueError, match="shards"):
        expand(source)
