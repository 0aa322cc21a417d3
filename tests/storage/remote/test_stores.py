import json
import multiprocessing
import pickle
import shutil
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from remote_shards import NAMES, check_bytes, epoch_of
from servers import answering, http_proxy, proxy_before, s3_environment
from tars import pairs, write_tar
from watching import PATIENCE, started

from streamaug.cli import main
from streamaug.errors import ShardError, StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions


def test_s3_gives_the_bytes_of_the_file(in_s3, folder):
    storage = pickle.loads(pickle.dumps(Storage(StorageOptions(deadline=20))))
    check_bytes(storage, in_s3, folder)
    assert storage.read_all(in_s3 + NAMES[0]) == (folder / NAMES[0]).read_bytes()
    assert storage.read_all(in_s3 + "none.json") is None
    with pytest.raises(StorageError, match=r"x-000009\.tar.*must exist"):
        storage.read(in_s3 + "x-000009.tar", 0, 10)


def test_http_gives_the_bytes_of_the_file(folder):
    with http_proxy(folder) as (_, base):
        check_bytes(Storage(StorageOptions(deadline=20)), base + "/", folder)


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_a_spawned_process_reads_the_set_that_it_is_sent(in_s3, folder, tmp_path, cached):
    """After its parent has read, and with what the parent holds of connections, locks and threads left behind."""
    options = StorageOptions(deadline=20, cache_dir=tmp_path if cached else None)
    shards = ShardSet.open(in_s3 + "x-{000000..000002}.tar", storage=options)
    here = epoch_of(shards)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(epoch_of, [shards, shards]) == [here, here]
    assert here == epoch_of(ShardSet.open(str(folder / "x-{000000..000002}.tar")))


@pytest.mark.slow
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
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
            assert (done.returncode, done.stderr) == (status, b"")


@pytest.mark.parametrize("label", [b"7777", b"7" * 600])
def test_a_stale_index_of_a_remote_shard_is_an_error(folder, tmp_path, label):
    """Only the last member differs: its size in the header does, or what follows it is elsewhere."""
    write_tar(tmp_path / "a.tar", pairs(20))
    main(["index", str(tmp_path / "a.tar")])
    (tmp_path / "index.json").unlink()
    write_tar(tmp_path / "a.tar", [*pairs(20)[:-1], (pairs(20)[-1][0], label)])
    with http_proxy(tmp_path) as (_, base), pytest.raises(ShardError, match=r"a\.idx: must fit .*a\.tar"):
        ShardSet.open(base + "/a.tar").index(0)


@pytest.mark.slow
def test_three_hundred_signed_urls_share_a_few_connections(folder):
    """Each is a store of its own to obstore, which would keep its connections for ever."""
    data = (folder / NAMES[0]).read_bytes()
    with http_proxy(folder) as (_, base):
        storage = Storage(StorageOptions(deadline=10))
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(300):
            url = f"{base}/{NAMES[0]}?X-Amz-Signature={number}"
            assert bytes(storage.read(url, number, 100 + number)) == data[number : 100 + number]
        assert len(list(Path("/proc/self/fd").iterdir())) - before < 3 * 64 + 20  # this process serves them too


def test_a_server_with_neither_head_nor_ranges_works(folder):
    data = (folder / NAMES[0]).read_bytes()
    with http_proxy(folder, lambda method, path, number: 405 if method == "HEAD" else "ignore range") as (_, base):
        storage = Storage(StorageOptions(deadline=10))
        assert storage.size(f"{base}/{NAMES[0]}") == len(data)
        with pytest.warns(UserWarning, match="range"):
            assert bytes(storage.read(f"{base}/{NAMES[0]}", 10, 1000)) == data[10:1000]


def test_a_page_where_nothing_is_counts_as_nothing(folder, tmp_path):
    """Some web servers answer so, with status 200."""
    shutil.copy(folder / NAMES[0], tmp_path / "a.tar")
    for name in ("index.json", "shardindex.json", "_info.json", "info.json", "a.idx", "a.crc32c"):
        (tmp_path / name).write_text("<!doctype html><html></html>")
    with http_proxy(tmp_path) as (_, base):
        shards = ShardSet.open(f"{base}/a.tar")
        assert shards.num_samples == 60
        assert shards.index(0).offsets.shape == (60, 2)


@pytest.mark.parametrize("place", ["s3://bucket/some folder", "{base}/some"])
def test_a_name_with_an_empty_part_is_an_error_before_anything_is_asked(place):
    with answering(500) as (seen, base):
        with pytest.raises(StorageError, match=r"x-000000\.tar.*empty part"):
            Storage(StorageOptions(endpoint=base)).read(place.format(base=base) + "//x-000000.tar", 0, 10)
        assert not seen["requests"]


def test_names_with_letters_that_urls_encode_find_their_companions(folder, tmp_path):
    for name in ("x#1%.tar", "x?1 ü.tar"):
        shutil.copy(folder / NAMES[0], tmp_path / name)
        main(["index", str(tmp_path / name), "--checksum"])
    with http_proxy(tmp_path) as (proxy, base):
        shards = ShardSet.open([f"{base}/{urllib.parse.quote(name)}" for name in ("x#1%.tar", "x?1 ü.tar")])
        assert dict(proxy.requests) == {"GET": 1}
        assert [shards.index(number).checksums is not None for number in range(2)] == [True, True]
        assert proxy.bytes < 200_000


def test_what_is_shown_of_a_shard_holds_no_secret(folder, tmp_path):
    shutil.copy(folder / NAMES[0], tmp_path / "a.tar")
    with http_proxy(tmp_path) as (_, base):
        shards = ShardSet.open(base.replace("//", "//me:planted@") + "/a.tar?X-Amz-Signature=planted")
    text = repr(shards) + repr(shards.shards[0]) + repr(shards.shards[:1]) + shards.fingerprint
    assert "planted" not in text
    assert "a.tar" in text
    entry = {"url": "https://h/x.tar?sig=planted", "nsamples": -1}
    (tmp_path / "index.json").write_text(json.dumps({"__kind__": "wids-shard-index-v1", "shardlist": [entry]}))
    with pytest.raises(ShardError, match="negative") as caught:
        ShardSet.open(str(tmp_path / "index.json"))
    assert "planted" not in str(caught.value)


def test_a_companion_that_the_manifest_promises_must_be_there(folder, tmp_path):
    shutil.copy(folder / NAMES[0], tmp_path / "a.tar")
    main(["index", str(tmp_path / "a.tar"), "--checksum"])
    assert ShardSet.open(str(tmp_path / "a.tar")).index(0).checksums is not None
    (tmp_path / "a.crc32c").unlink()
    with pytest.raises(ShardError, match=r"a\.crc32c: must be there.*manifest"):
        ShardSet.open(str(tmp_path / "a.tar")).index(0)
    (tmp_path / "index.json").unlink()
    assert ShardSet.open(str(tmp_path / "a.tar")).index(0).checksums is None


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stall", 500])
def test_interrupting_while_a_set_is_opened_waits_for_no_server(folder, interruptible, fault):
    """With the default deadline of minutes."""
    code = "import sys, streamaug; streamaug.ShardSet.open(sys.argv[1])"
    with http_proxy(folder, lambda method, path, number: fault) as (proxy, base):
        command = [sys.executable, "-c", code, base + "/x-{000000..000002}.tar"]
        with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as job:
            proxy.wait_for(lambda: proxy.faults[fault])
            job.send_signal(signal.SIGINT)
            _, errors = job.communicate(timeout=PATIENCE)
        assert job.returncode == -signal.SIGINT
        assert "KeyboardInterrupt" in errors
