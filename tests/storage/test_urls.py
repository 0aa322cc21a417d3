import pytest

from streamaug.storage.urls import expand


def test_sources_expand_as_in_webdataset(monkeypatch):
    monkeypatch.setenv("WDS_ROOT", "/d")
    assert expand("${ROOT}/a-{08..10}.tar::b.tar") == ["/d/a-08.tar", "/d/a-09.tar", "/d/a-10.tar", "b.tar"]
    monkeypatch.setenv("WDS_INNER", "${ROOT}/e")
    assert expand("${INNER}/a.tar") == ["/d/e/a.tar"]
    assert expand(["a-{0..1}.tar", "c.tar"]) == ["a-0.tar", "a-1.tar", "c.tar"]


@pytest.mark.parametrize("source", ["", [], "a.tar::", "${NOT_SET_ANYWHERE}/a.tar"])
def test_a_source_that_names_nothing_is_refused(source):
    with pytest.raises(ValueError, match="shards"):
        expand(source)
