"""Settings that a hurried person gets wrong: an error that names the variable, and never a panic of obstore's."""

import os
import subprocess
import sys

import pytest
from odd_servers import served
from servers import answering

from streamaug.errors import StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.remote.failures import RequestError
from streamaug.storage.remote.guard import attempt

BASE = {
    "AWS_ACCESS_KEY_ID": "AKIAX",
    "AWS_SECRET_ACCESS_KEY": "planted",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


@pytest.fixture
def environment(monkeypatch):
    """A function that sets variables of the providers, and nothing else of them."""

    def write(changes):
        for name in list(os.environ):
            if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR", "HF_")):
                monkeypatch.delenv(name)
        for name, value in changes.items():
            monkeypatch.setenv(name, value)

    return write


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000", "Write 'http://minio:9000'"),
        ("AWS_ENDPOINT_URL", "s3.eu-central-1.amazonaws.com", "Write 'http://s3.eu-central-1.amazonaws.com'"),
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("AWS_ENDPOINT_URL", "//minio:9000", "http://minio:9000"),
        ("AWS_ENDPOINT_URL", "http://", "http"),
        ("AWS_ENDPOINT_URL", "ftp://minio", "http://minio"),
        ("AWS_ENDPOINT_URL", "http://minio:99999", "http"),
        ("AWS_ENDPOINT_URL", "http://mi nio:9000", "http"),
        ("AWS_ENDPOINT_URL_S3", "minio:9000", "Write 'http://minio:9000'"),
        ("AWS_ACCESS_KEY_ID", "AK\nIA", "line break"),
        ("AWS_SECRET_ACCESS_KEY", "planted\r\nplanted", "line break"),
        ("AWS_SESSION_TOKEN", "planted\x00planted".replace("\x00", "\x01"), "control character"),
        ("AWS_REGION", "us\neast", "line break"),
        ("AWS_METADATA_ENDPOINT", "x y", "http"),
    ],
)
def test_a_variable_of_aws_that_cannot_be_sent_is_named_at_once(environment, variable, value, advice):
    environment(BASE | {variable: value})
    with pytest.raises(StorageError, match=rf"s3://b/x\.tar.*{variable} must be.*{advice}") as caught:
        ShardSet.open("s3://b/x.tar")
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"])
def test_a_line_break_at_the_end_is_left_out(environment, variable):
    """As secrets of Kubernetes often have one; with it the request could not even be sent."""
    with answering(404) as (seen, base):
        environment(BASE | {"AWS_ENDPOINT_URL": f"{base}\n", variable: f"{BASE.get(variable, 'token')}\n"})
        with pytest.raises(StorageError, match="must exist"):
            Storage(StorageOptions()).read("s3://b/x.tar", 0, 10)
        assert seen["requests"] == 1


@pytest.mark.parametrize("url", ["s3://my bucket/x.tar", "s3://b\n/x.tar", "gs://my bucket/x.tar", "az://b%/x.tar"])
def test_a_bucket_that_cannot_be_is_refused_at_once(environment, url):
    environment(BASE | {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "eA=="})
    with pytest.raises(StorageError, match=r"after 1 try.*bucket's name"):
        Storage(StorageOptions()).read(url, 0, 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"AZURE_STORAGE_ENDPOINT": "azurite:10000"}, "AZURE_STORAGE_ENDPOINT.*must be an http"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "a\nb"}, "AZURE_STORAGE_ACCOUNT_NAME must be one line"),
        ({"AZURE_STORAGE_ACCOUNT_KEY": "not base64!"}, "Invalid Access Key"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "planted"}, "AZURE_STORAGE_CONNECTION_STRING"),
    ],
)
def test_a_variable_of_azure_that_cannot_be_used_is_an_error_of_one_try(environment, change, words):
    environment({"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "eA=="} | change)
    with pytest.raises(StorageError, match=rf"az://box/x\.tar.*after 1 try.*{words}") as caught:
        Storage(StorageOptions()).read("az://box/x.tar", 0, 10)
    assert "planted" not in str(caught.value)


def test_an_emulator_of_google_that_is_no_address_is_named(environment):
    environment({"STORAGE_EMULATOR_HOST": "ftp://h"})
    with pytest.raises(StorageError, match="STORAGE_EMULATOR_HOST must be an http"):
        Storage(StorageOptions()).read("gs://box/x.tar", 0, 10)


@pytest.mark.parametrize(
    "url",
    ["http://h:99999/x.tar", "http://my host/x.tar", "http://[::1/x.tar", "http://h:port/x.tar", "http://%zz/x.tar"],
)
def test_an_address_that_cannot_be_is_an_error_of_one_try(url):
    with pytest.raises(StorageError, match=r"after 1 try"):
        Storage(StorageOptions()).read(url, 0, 10)


@pytest.mark.parametrize("key", ["data/../x.tar", "./x.tar", "a/./x.tar", "../x.tar", "a\nb.tar", "a//b.tar"])
@pytest.mark.parametrize("base", ["s3://b/", "http://127.0.0.1:9/"])
def test_a_key_that_no_store_has_is_an_error_of_one_try(environment, base, key):
    environment(BASE)
    with pytest.raises(StorageError, match=r"after 1 try.*a key"):
        Storage(StorageOptions()).read(base + key, 0, 10)


def test_a_panic_that_nobody_foresaw_is_an_error_and_an_interrupt_stays_one():
    """obstore's own panic, which is a BaseException."""
    from obstore import head
    from obstore import store as stores

    store = stores.S3Store("my bucket", config={"endpoint": "http://127.0.0.1:9", "skip_signature": True})
    with pytest.raises(BaseException, match="InvalidUri") as caught:
        head(store, "x")
    assert not isinstance(caught.value, Exception)
    with pytest.raises(RequestError, match="InvalidUri"):
        attempt(lambda: head(store, "x"))

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted)


def test_a_host_without_an_address_is_named_at_once():
    with pytest.raises(StorageError, match=r"x\.tar.*after 1 try.*DNS.*no-such-host\.invalid.*Check the URL"):
        Storage(StorageOptions()).read("http://no-such-host.invalid/x.tar", 0, 10)


def test_a_proxy_that_cannot_be_reached_is_named(monkeypatch):
    """The server that it should lead to is well, and no client says that the connection was to another."""
    monkeypatch.setattr("streamaug.storage.remote.failures.UnreachableError.patience", 0.0)
    monkeypatch.setenv("http_proxy", "http://user:planted@127.0.0.1:9")
    with served({"a.tar": bytes(1000)}) as (server, base):
        with pytest.raises(StorageError, match=r"refused.*through the proxy of http_proxy\. .*no_proxy") as caught:
            Storage(StorageOptions()).read(f"{base}/a.tar", 0, 10)
        assert "planted" not in str(caught.value)
        assert not server.requests
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert len(Storage(StorageOptions()).read(f"{base}/a.tar", 0, 10)) == 10
    with pytest.raises(StorageError, match=r"refused: no server listens at that port, http://127\.0\.0\.1:\d+\. Check"):
        Storage(StorageOptions()).read(f"{base}/b.tar", 0, 10)


@pytest.mark.slow
def test_a_port_where_nobody_listens_is_given_up_soon_unless_it_has_answered(monkeypatch):
    """Where it has, the server may come up again, and the deadline counts."""
    monkeypatch.setattr("streamaug.storage.remote.failures.UnreachableError.patience", 0.5)
    with pytest.raises(StorageError, match=r"tries in [01]\.\d s: the connection was refused.*127\.0\.0\.1:9"):
        Storage(StorageOptions()).read("http://127.0.0.1:9/x.tar", 0, 10)
    storage = Storage(StorageOptions(deadline=2.0))

    def closing(server, request):
        reply = server.reply(request)
        reply.sent = len(reply.body)  # and then the end of the connection
        return reply

    with served({"a.tar": bytes(1000)}, closing) as (_, base):
        storage.read(f"{base}/a.tar", 0, 10)
    with pytest.raises(StorageError, match=r"tries in [2-9]\.\d s: the connection was refused"):
        storage.read(f"{base}/a.tar", 0, 10)


def test_an_object_that_cannot_be_written_is_said_to_be_that():
    with (
        answering(501) as (_, base),
        pytest.raises(StorageError, match=r"x\.idx: must be writable, got after 1 try in "),
    ):
        Storage(StorageOptions()).write(f"{base}/x.idx", b"x")


@pytest.mark.slow
def test_the_last_try_is_at_the_deadline():
    """However long the next pause would be: after 0.1, 0.2, 0.4 … s, 1.55 to 3.1 in all, the sixth is cut."""
    with answering(503) as (seen, base), pytest.raises(StorageError, match=r"tries in (\d+\.\d) s") as caught:
        Storage(StorageOptions(deadline=3.2)).read(f"{base}/x.tar", 0, 10)
    spent = float(str(caught.value).split(" tries in ")[1].split(" s")[0])
    assert spent >= 3.2
    assert seen["requests"] >= 6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="as tests of processes are")
def test_a_command_says_the_variable_and_prints_no_traceback():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    code = "from streamaug.cli import main; raise SystemExit(main(['index', 's3://b/x.tar']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | BASE | {"AWS_ENDPOINT_URL": "minio:9000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "AWS_ENDPOINT_URL must be an http(s) URL" in done.stderr
    assert "Traceback" not in done.stderr
