"""Answers that are none: each is named, and asked for no more often than it may pass."""

import gzip
import tarfile
import zlib

import numpy as np
import pytest
from odd_servers import Reply, served
from tars import pairs, write_tar

from streamaug.cli import main
from streamaug.errors import StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions

DATA = np.random.default_rng(0).bytes(100_000)
FILES = {"a.tar": DATA}
PAGE = b"<!DOCTYPE html><html><title>Sign in</title><body>Please accept the terms of this network.</body></html>"


def ranged(make):
    """A server that answers every GET of a range by `make(server, request)`."""
    return lambda server, request: make(server, request) if request.is_range else None


def sent_in_chunks(server, request):
    reply = server.reply(request)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(reply.body), reply.body)
    return Reply(reply.status, reply.headers | {"Transfer-Encoding": "chunked", "Content-Length": None}, body)


def zipped(server, request):
    reply = server.reply(request)
    return Reply(206, reply.headers | {"Content-Encoding": "gzip"}, gzip.compress(reply.body))


ANSWERS = {
    "a redirect in a circle": (lambda server, request: Reply(302, {"Location": f"/{request.path}"}), "circle", 11),
    "another place": (ranged(lambda s, r: s.part(r, r.start + 512, r.stop + 512)), "requested.*range", 3),
    "a longer range": (ranged(lambda s, r: s.part(r, r.start, r.stop + 512)), "requested.*range", 3),
    "no Content-Range": (ranged(lambda s, r: s.part(r, r.start, r.stop, Content_Range=None)), "Content-Range", 3),
    "a Content-Range of unknown total": (
        ranged(lambda s, r: s.part(r, r.start, r.stop, Content_Range=f"bytes {r.start}-{r.stop - 1}/*")),
        "Content-Range",
        3,
    ),
    "a date that is none": (ranged(lambda s, r: s.part(r, r.start, r.stop, Last_Modified="lately")), "date", 3),
    "chunks": (ranged(sent_in_chunks), "Content-Length.*chunks", 3),
    "gzip": (ranged(zipped), "gzip", 3),
    "416 inside the object": (ranged(lambda s, r: Reply(416)), "416.*has 100000 bytes", 6),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_stays_wrong_is_named_after_a_few_tries(name):
    """With the default deadline of minutes."""
    answer, words, requests = ANSWERS[name]
    with served(FILES, answer) as (server, base):
        with pytest.raises(StorageError, match=rf"a\.tar.*{words}"):
            Storage(StorageOptions()).read(f"{base}/a.tar", 100, 1000)
        assert len(server.requests) == requests


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "a redirect in a circle"])
def test_a_slip_passes(name):
    """The first answer to a range is wrong, the others are right."""
    wrong, _, _ = ANSWERS[name]
    seen = []

    def answer(server, request):
        if request.is_range:
            seen.append(request)
        return wrong(server, request) if len(seen) == 1 else None

    with served(FILES, answer) as (_, base):
        assert bytes(Storage(StorageOptions()).read(f"{base}/a.tar", 100, 1000)) == DATA[100:1000]


@pytest.mark.parametrize("encoding", ["aws-chunked", "identity", ""])
def test_an_encoding_that_changes_no_byte_is_none(encoding):
    with served(FILES, ranged(lambda s, r: s.part(r, r.start, r.stop, Content_Encoding=encoding))) as (_, base):
        assert bytes(Storage(StorageOptions()).read(f"{base}/a.tar", 100, 1000)) == DATA[100:1000]


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_where_head_fails_the_size_comes_from_a_get(status):
    with served(FILES, lambda s, r: Reply(status) if r.method == "HEAD" else None) as (server, base):
        assert Storage(StorageOptions()).size(f"{base}/a.tar") == len(DATA)
        assert [request.method for request in server.requests] == ["HEAD", "GET"]


def page(request):
    """A sign-in page in place of a shard."""
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE) if request.path.endswith(".tar") else None


def redirect_to_page(request):
    if request.path == "login":
        return Reply(200, {"Content-Type": "text/html"}, PAGE)
    return Reply(302, {"Location": "/login?next=planted"}) if request.path.endswith(".tar") else None


@pytest.fixture
def indexed(tmp_path):
    """A shard with its index and manifest, as files of a server."""
    write_tar(tmp_path / "a.tar", pairs(20))
    main(["index", str(tmp_path / "a.tar"), "--checksum"])
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("answer", [page, redirect_to_page])
@pytest.mark.parametrize("cached", [False, True])
def test_a_page_in_place_of_a_shard_is_called_a_page_and_not_a_stale_index(indexed, answer, cached, tmp_path):
    options = StorageOptions(deadline=1.0, cache_dir=tmp_path / "cache" if cached else None)
    with served(indexed, lambda server, request: answer(request)) as (_, base):
        shards = ShardSet.open(f"{base}/a.tar", storage=options)
        with pytest.raises(StorageError, match=r"a\.tar.*page \(HTML\), titled 'Sign in'") as caught:
            shards.index(0)
        assert "stale" not in str(caught.value)
        assert "planted" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/xml; charset=utf-8"])
def test_a_message_in_place_of_a_shard_is_no_shorter_shard(indexed, kind):
    """Some servers say with status 200 that something is wrong."""

    def answer(server, request):
        return Reply(200, {"Content-Type": kind}, b'{"error": "planted"}') if request.path == "a.tar" else None

    with served(indexed, answer) as (_, base):
        shards = ShardSet.open(f"{base}/a.tar", storage=StorageOptions(deadline=1.0))
        with pytest.raises(StorageError, match=rf"a\.tar.*a message \({kind.partition(';')[0]}\)") as caught:
            shards.index(0)
        assert "planted" not in str(caught.value)


def test_a_text_of_a_server_without_ranges_is_no_message():
    def answer(server, request):
        return Reply(200, {"Content-Type": "text/plain", "ETag": '"1"'}, b"0123456789")

    with served({}, answer) as (_, base), pytest.warns(UserWarning, match="range"):
        assert bytes(Storage(StorageOptions()).read(f"{base}/list.csv", 2, 5)) == b"234"


def test_a_manifest_that_is_stored_compressed_is_read(indexed):
    """As object stores keep the encoding that a file was uploaded with."""

    def answer(server, request):
        if request.path != "index.json":
            return None
        return Reply(200, {"Content-Encoding": "gzip"}, gzip.compress(indexed["index.json"]))

    with served(indexed, answer) as (server, base):
        assert ShardSet.open(f"{base}/a.tar").num_samples == 20
        assert [request.path for request in server.requests] == ["index.json"]


def stored_compressed(encoding):
    """The answers of a store to which the shard was uploaded with an encoding (`gsutil cp -z tar`)."""

    def answer(server, request):
        reply = server.reply(request)
        return Reply(reply.status, reply.headers | {"Content-Encoding": encoding}, reply.body)

    return answer


def stored_compressed_without_ranges(encoding):
    def answer(server, request):
        whole = server.files[request.path]
        headers = {"Content-Encoding": encoding, "Content-Length": str(len(whole)), "ETag": '"1"'}
        return Reply(200, headers, b"" if request.method == "HEAD" else whole)

    return answer


#: What an encoding makes of a shard, or begins with; Brotli begins with no bytes of its own.
ENCODINGS = {
    "gzip": gzip.compress,
    "zstd": lambda data: b"\x28\xb5\x2f\xfd" + DATA[: len(data) // 2],
    "deflate": zlib.compress,
    "br": lambda data: DATA[: len(data) // 2],
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("answer", [stored_compressed, stored_compressed_without_ranges])
@pytest.mark.parametrize("with_manifest", [False, True])
@pytest.mark.filterwarnings("ignore:.*ignores byte ranges")
def test_a_shard_that_is_stored_compressed_is_an_error_that_names_the_header(indexed, answer, with_manifest, encoding):
    files = (indexed if with_manifest else {}) | {"a.tar": ENCODINGS[encoding](indexed["a.tar"])}

    def of_tars(server, request):
        return answer(encoding)(server, request) if request.path == "a.tar" else None

    with served(files, of_tars) as (_, base):
        words = rf"a\.tar.*the object must be stored as it is.*Content-Encoding: {encoding}.*without"
        with pytest.raises(StorageError, match=words):
            ShardSet.open(f"{base}/a.tar").index(0)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("tar_format", [None, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_shard_that_is_only_said_to_be_compressed_is_read(tmp_path, encoding, tar_format):
    path = write_tar(tmp_path / "a.tar", pairs(5), tarfile.USTAR_FORMAT if tar_format is None else tar_format)
    data = path.read_bytes()
    if tar_format is None:  # as tars were before POSIX: without a format's name
        header = bytearray(data[:512])
        header[257:512] = bytes(255)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        data = bytes(header) + data[512:]
    with served({"a.tar": data}, stored_compressed(encoding)) as (_, base):
        assert ShardSet.open(f"{base}/a.tar").num_samples == 5


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_objects_that_are_only_said_to_be_compressed_are_read(encoding):
    with served({"a.jpg": DATA}, stored_compressed(encoding)) as (_, base):
        assert bytes(Storage(StorageOptions()).read(f"{base}/a.jpg", 0, 1000)) == DATA[:1000]


@pytest.mark.parametrize("cached", [False, True])
def test_a_page_now_and_then_is_a_failed_try(indexed, tmp_path, cached):
    """In place of the shard, of its index and of what HEAD says, every other time."""

    def answer(server, request):
        is_page = request.number % 2 == 1 and request.path in ("a.tar", "a.idx", "a.crc32c", "index.json")
        return Reply(200, {"Content-Type": "text/html"}, PAGE) if is_page else None

    options = StorageOptions(deadline=10.0, cache_dir=tmp_path / "cache" if cached else None)
    with served(indexed, answer) as (_, base):
        shards = ShardSet.open(f"{base}/a.tar", storage=options)
        assert shards.num_samples == 20
        assert shards.index(0).checksums is not None
        assert shards.storage.size(f"{base}/a.tar") == len(indexed["a.tar"])
        assert bytes(shards.storage.read(f"{base}/a.tar", 0, 5000)) == indexed["a.tar"][:5000]


def test_a_shard_that_is_said_to_be_html_is_read_all_the_same():
    """Some servers say so of every name that they do not know."""

    def answer(server, request):
        reply = server.reply(request)
        reply.headers["Content-Type"] = "text/html"
        return reply

    with served(FILES, answer) as (_, base):
        storage = Storage(StorageOptions(deadline=5))
        assert storage.size(f"{base}/a.tar") == len(DATA)
        assert bytes(storage.read(f"{base}/a.tar", 100, 1000)) == DATA[100:1000]


def test_a_page_is_no_reason_to_take_a_server_for_one_without_ranges(recwarn):
    def answer(server, request):
        return Reply(200, {"Content-Type": "text/html"}, PAGE) if request.is_range and request.number == 1 else None

    with served(FILES, answer) as (_, base):
        storage = Storage(StorageOptions(deadline=5))
        assert bytes(storage.read(f"{base}/a.tar", 100, 1000)) == DATA[100:1000]
        assert not storage.sends_whole(f"{base}/a.tar")
    assert not [warning for warning in recwarn if "range" in str(warning.message)]


def test_one_etag_is_one_version_and_mirrors_may_be_told_by_size():
    def answer(server, request):
        return (
            server.part(request, request.start, request.stop, ETag=f'"{request.number}"') if request.is_range else None
        )

    with served(FILES, answer) as (_, base):
        strict = Storage(StorageOptions())
        strict.read(f"{base}/a.tar", 0, 100)
        with pytest.raises(StorageError, match=r'another etag \("2", "1" before\).*check="size"'):
            strict.read(f"{base}/a.tar", 100, 200)
    with served(FILES, answer) as (server, base):
        lenient = Storage(StorageOptions(check="size"))
        for start in range(0, 500, 100):
            assert bytes(lenient.read(f"{base}/a.tar", start, start + 100)) == DATA[start : start + 100]
        server.files["a.tar"] = DATA[:-1]
        with pytest.raises(StorageError, match=r"another size \(99999 bytes, 100000 before\)"):
            lenient.read(f"{base}/a.tar", 0, 100)


def test_mirrors_told_by_size_fill_a_cache(tmp_path):
    def answer(server, request):
        reply = server.reply(request)
        reply.headers["ETag"] = f'"{request.number}"'
        return reply

    with served(FILES, answer) as (server, base):
        storage = Storage(StorageOptions(check="size", cache_dir=tmp_path))
        for _ in range(2):
            assert bytes(storage.read(f"{base}/a.tar", 0, len(DATA))) == DATA
        assert server.sent == len(DATA)
