"""Tokens of the environment: sent to their host, to no other, and never shown."""

import logging

import numpy as np
import pytest
from odd_servers import Reply, served
from tars import pairs, write_tar

from streamaug.cli import main
from streamaug.errors import StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.remote.tokens import token_variables

DATA = np.random.default_rng(0).bytes(10_000)
TOKEN = "hf_planted"


@pytest.fixture(autouse=True)
def nothing_of_the_machine(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))


def locked(server, request):
    """A server that asks for the token."""
    return None if request.headers.get("authorization") == f"Bearer {TOKEN}" else Reply(401)


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("https://data.example.org/x.tar", ("STREAMAUG_TOKEN_DATA_EXAMPLE_ORG",)),
        (
            "https://my-data.example.org:8443/",
            ("STREAMAUG_TOKEN_MY_DATA_EXAMPLE_ORG_8443", "STREAMAUG_TOKEN_MY_DATA_EXAMPLE_ORG"),
        ),
    ],
)
def test_a_host_has_a_variable(url, variables):
    assert token_variables(url) == variables


def test_the_token_of_a_host_opens_it_and_is_in_no_message(monkeypatch, caplog):
    with served({"a.tar": DATA}, locked) as (_, base), caplog.at_level(logging.DEBUG):
        with pytest.raises(StorageError, match=r"401.*set STREAMAUG_TOKEN_127_0_0_1 to a bearer token"):
            Storage(StorageOptions()).read(f"{base}/a.tar", 0, 10)
        monkeypatch.setenv("STREAMAUG_TOKEN_127_0_0_1", f"{TOKEN}\n")
        storage = Storage(StorageOptions())
        assert bytes(storage.read(f"{base}/a.tar", 0, 10)) == DATA[:10]
        with pytest.raises(StorageError) as caught:
            storage.read(f"{base}/none.tar", 0, 10)
        assert TOKEN not in str(caught.value) + repr(storage) + repr(vars(storage)) + caplog.text
        monkeypatch.setenv("STREAMAUG_TOKEN_127_0_0_1", "another")
        monkeypatch.setenv(f"STREAMAUG_TOKEN_127_0_0_1_{base.rpartition(':')[2]}", TOKEN)
        assert bytes(Storage(StorageOptions()).read(f"{base}/a.tar", 0, 10)) == DATA[:10]


def test_a_token_is_not_sent_where_a_server_redirects_to(monkeypatch):
    """Another port is another host."""
    monkeypatch.setenv("STREAMAUG_TOKEN_127_0_0_1_1", "of no host here")
    with served({"a.tar": DATA}) as (storage_server, elsewhere):

        def answer(server, request):
            return locked(server, request) or Reply(302, {"Location": f"{elsewhere}/{request.path}?sig=1"})

        with served({}, answer) as (server, base):
            monkeypatch.setenv(f"STREAMAUG_TOKEN_127_0_0_1_{base.rpartition(':')[2]}", TOKEN)
            assert bytes(Storage(StorageOptions()).read(f"{base}/a.tar", 5, 10)) == DATA[5:10]
            assert Storage(StorageOptions()).size(f"{base}/a.tar") == len(DATA)
            assert {request.headers.get("authorization") for request in server.requests} == {f"Bearer {TOKEN}"}
        assert storage_server.requests
        assert not [request for request in storage_server.requests if "authorization" in request.headers]


def test_a_token_is_not_sent_unencrypted(monkeypatch):
    monkeypatch.setenv("STREAMAUG_TOKEN_DATA_EXAMPLE_ORG", TOKEN)
    with pytest.raises(StorageError, match="STREAMAUG_TOKEN_DATA_EXAMPLE_ORG must be sent encrypted") as caught:
        Storage(StorageOptions()).read("http://data.example.org/a.tar", 0, 10)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("hf://datasets/org/set/a.tar", "datasets/org/set/resolve/main/a.tar"),
        ("hf://datasets/org/set@v1.0/some folder/a%20#1.tar", "datasets/org/set/resolve/v1.0/some folder/a%20#1.tar"),
        ("hf://datasets/org/set@refs/pr/7/a.tar", "datasets/org/set/resolve/refs/pr/7/a.tar"),
        ("hf://datasets/org/set@refs%2Fpr%2F7/a.tar", "datasets/org/set/resolve/refs/pr/7/a.tar"),
        ("hf://org/model/a.tar", "org/model/resolve/main/a.tar"),
    ],
)
def test_a_file_of_hugging_face_is_asked_for_where_it_is_resolved(monkeypatch, url, path):
    with served({path: DATA}, locked) as (server, base):
        monkeypatch.setenv("HF_ENDPOINT", f"{base}/")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert bytes(Storage(StorageOptions()).read(url, 10, 20)) == DATA[10:20]
        assert [request.path for request in server.requests] == [path]


def test_a_set_at_hugging_face_is_read_by_its_index_and_redirected_without_the_token(monkeypatch, tmp_path):
    """Its own server asks for the token, and sends to storage elsewhere that must not see it."""
    write_tar(tmp_path / "a b-0.tar", pairs(20))
    main(["index", str(tmp_path / "a b-0.tar")])
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with served(files) as (storage_server, elsewhere):

        def answer(server, request):
            name = request.path.rpartition("/")[2]
            if name not in files:
                return Reply(404)
            return locked(server, request) or Reply(302, {"Location": f"{elsewhere}/{name.replace(' ', '%20')}"})

        with served({}, answer) as (_, base):
            monkeypatch.setenv("HF_ENDPOINT", base)
            monkeypatch.setenv("HF_TOKEN", TOKEN)
            shards = ShardSet.open("hf://datasets/org/set/data/a b-0.tar")
            assert shards.num_samples == 20
            index = shards.index(0)
            start, size = int(index.offsets[3, 0]), int(index.sizes[3, 0])
            data = bytes(shards.storage.read(shards.shards[0].url, start, start + size))
            assert data == files["a b-0.tar"][start : start + size]
        assert not [request for request in storage_server.requests if "authorization" in request.headers]


def test_a_gated_repository_names_the_variable_and_no_token(monkeypatch):
    with served({"datasets/org/set/resolve/main/a.tar": DATA}, locked) as (_, base):
        monkeypatch.setenv("HF_ENDPOINT", base)
        with pytest.raises(StorageError, match=r"hf://datasets/org/set/a\.tar.*401.*Set HF_TOKEN"):
            Storage(StorageOptions()).read("hf://datasets/org/set/a.tar", 0, 10)
        monkeypatch.setenv("HF_TOKEN", "wrong_planted")
        with pytest.raises(StorageError, match="HF_TOKEN") as caught:
            Storage(StorageOptions()).read("hf://datasets/org/set/a.tar", 0, 10)
        assert "planted" not in str(caught.value)


def test_the_login_of_hugging_faces_tools_counts_unless_it_is_forbidden(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with served({"datasets/org/set/resolve/main/a.tar": DATA}, locked) as (_, base):
        monkeypatch.setenv("HF_ENDPOINT", base)
        url = "hf://datasets/org/set/a.tar"
        assert bytes(Storage(StorageOptions()).read(url, 0, 10)) == DATA[:10]
        for option, value in ((StorageOptions(anonymous=True), ""), (StorageOptions(), "1")):
            monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", value)
            with pytest.raises(StorageError, match="401"):
                Storage(option).read(url, 0, 10)


@pytest.mark.parametrize("url", ["hf://", "hf://datasets", "hf://datasets/org", "hf://org"])
def test_a_url_that_names_no_repository_is_refused(url):
    with pytest.raises(ValueError, match="must name a repository"):
        ShardSet.open(url)
