"""What we use of other packages beyond their documented surface: each is there, and says what we read out of it.

Our modules take attributes without a promise behind them, and read messages, since the packages offer nothing else. A
release that changes one of them fails here, by name, before it fails somewhere inside an epoch.
"""

import importlib.metadata
import io
import tarfile
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import numpy as np
import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvidia.dali import fn, pipeline_def
from obstore.store import HTTPStore, S3Store
from webdataset.shardlists import expand_urls
from webdataset.tariterators import base_plus_ext

from streamaug.shards.names import key_and_suffix
from streamaug.storage.urls import expand

#: (package, module, attribute, who uses it); of the standard library the package is None.
ATTRIBUTES = [
    ("nvidia-dali-cuda120", "nvidia.dali.fn", "_conditional.split", "ops/nodes.py"),
    ("nvidia-dali-cuda120", "nvidia.dali.fn", "_conditional.merge", "ops/nodes.py"),
    ("nvidia-dali-cuda120", "nvidia.dali.tensors", "TensorCPU", "dali/prepare.py"),
    ("nvidia-dali-cuda120", "nvidia.dali", "Pipeline.schedule_run", "dali/runner.py"),
    ("nvidia-dali-cuda120", "nvidia.dali", "Pipeline.share_outputs", "dali/runner.py"),
    ("nvidia-dali-cuda120", "nvidia.dali", "Pipeline.release_outputs", "dali/runner.py"),
    ("webdataset", "webdataset", "TarWriter.write", "making/tar_file.py"),
    ("torch", "torch.utils.data.datapipes.datapipe", "IterDataPipe", "stages/base.py"),
    (None, "tarfile", "TarInfo.fromtarfile", "shards/tar.py"),
    (None, "tarfile", "HeaderError", "shards/tar.py"),
]


@pytest.mark.parametrize(("package", "module", "path", "user"), ATTRIBUTES, ids=str)
def test_every_attribute_that_we_use_without_a_promise_is_there(package, module, path, user):
    value = import_module(module)
    for number, name in enumerate(path.split("."), 1):
        release = "the standard library" if package is None else f"{package} {importlib.metadata.version(package)}"
        gone = ".".join([module, *path.split(".")[:number]])
        assert hasattr(value, name), f"{gone}, which streamaug/{user} uses, is gone in {release}"
        value = getattr(value, name)


def test_dalis_conditionals_split_a_batch_by_a_predicate_and_merge_it_again():
    @pipeline_def(batch_size=2, num_threads=1, device_id=None, exec_dynamic=True)
    def chosen():
        numbers, selected = fn.external_source(
            source=lambda: (np.array([10, 20]), np.array([True, False])), num_outputs=2, batch=True
        )
        on, off = fn._conditional.split(numbers, predicate=selected, _if_stmt=True)
        return fn._conditional.merge(on + 1, off, predicate=selected)

    pipeline = chosen()
    pipeline.build()
    (merged,) = pipeline.run()
    assert [int(np.asarray(sample)) for sample in merged] == [11, 20]


def test_a_built_pipeline_of_dali_has_a_pipe_that_is_none_once_it_is_freed():
    @pipeline_def(batch_size=1, num_threads=1, device_id=None, exec_dynamic=True)
    def constant():
        return fn.constant(idata=1)

    pipeline = constant()
    assert hasattr(pipeline, "_pipe"), "nvidia.dali.Pipeline._pipe, which streamaug/dali/runner.py uses, is gone"
    pipeline.build()
    assert pipeline._pipe is not None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b.c/d.jpg", ("a/b.c/d", "jpg")),
        ("d.seg.png", ("d", "seg.png")),
        ("d", (None, None)),
        ("a.b/d", (None, None)),
        (".hidden", (None, None)),
    ],
)
def test_webdataset_splits_names_at_the_first_dot_of_the_last_component(name, parts):
    assert base_plus_ext(name) == parts
    assert (key_and_suffix(name) or (None, None)) == parts


@given(st.text(st.sampled_from("ab./\n é"), max_size=12))
def test_names_are_split_as_webdataset_splits_them(name):
    assert (key_and_suffix(name) or (None, None)) == base_plus_ext(name)


def test_webdataset_expands_braces_lists_and_variables(monkeypatch):
    monkeypatch.setenv("WDS_ROOT", "s3://bucket")
    assert expand("${ROOT}/a-{00..02}.tar::b.tar") == expand_urls("${ROOT}/a-{00..02}.tar::b.tar")
    assert expand("${ROOT}/a-{00..02}.tar::b.tar") == [
        "s3://bucket/a-00.tar",
        "s3://bucket/a-01.tar",
        "s3://bucket/a-02.tar",
        "b.tar",
    ]


def test_tarfile_parses_a_header_from_a_file_and_an_offset_that_were_set_by_hand():
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"12345"))
    reader = tarfile.TarFile(fileobj=io.BytesIO(bytes(1024)))
    for name in ("fileobj", "offset"):
        assert hasattr(reader, name), f"tarfile.TarFile.{name}, which streamaug/shards/tar.py sets, is gone"
    archive.seek(0)
    reader.fileobj, reader.offset = archive, 0
    member = tarfile.TarInfo.fromtarfile(reader)
    assert (member.name, member.offset_data, member.size, member.isreg(), member.issparse()) == (
        "a.txt",
        512,
        5,
        True,
        False,
    )
    assert reader.offset == 1024


class _Answer(BaseHTTPRequestHandler):
    """Answers every request with the server's status, headers and body."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = "Content-Length" not in headers

    do_HEAD = do_PUT = do_GET


@contextmanager
def _answering(status, headers, body):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.answer = status, headers, body
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_PLAIN = {"allow_http": True}


def _store(base, **options):
    return S3Store(
        "bucket",
        config={"endpoint": base, "region": "us-east-1", **options.pop("config", {})},
        client_options=_PLAIN,
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
        **options,
    )


def _said(store):
    with pytest.raises((OSError, obstore.exceptions.BaseError)) as caught:
        obstore.get(store, "a.tar", options={"range": (0, 4)}).bytes()
    return caught.value


_KEYS = {"access_key_id": "x", "secret_access_key": "y"}
_CODE = b"<Error><Code>SlowDown</Code></Error>"
_LENGTH = {"Content-Length": str(len(_CODE))}

#: What `storage/remote/failures.py` looks for in obstore's messages, and an answer to which obstore says it.
MESSAGES = [
    ("status code: 403", 403, _LENGTH, _CODE),
    ("status code: 408", 408, _LENGTH, _CODE),
    ("status code: 416", 416, _LENGTH, _CODE),
    ("status code: 503", 503, _LENGTH, _CODE),
    ("<Code>SlowDown</Code>", 503, _LENGTH, _CODE),
    ("redirect without LOCATION", 301, _LENGTH, _CODE),
    ("Header missing from response", 206, {"Content-Range": "bytes 0-3/4"}, b"abcd"),
    ("Failed to parse", 206, {"Content-Range": "bytes x", "Content-Length": "4"}, b"abcd"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("phrase", "status", "headers", "body"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_obstore_says_what_we_look_for_in_its_messages(phrase, status, headers, body):
    with _answering(status, headers, body) as base:
        head, mark, _ = str(_said(_store(base, config=_KEYS))).partition("Debug source:")
    assert phrase in head
    assert mark, "obstore no longer ends its messages with 'Debug source:', from which on we leave them out"


def test_obstore_names_the_metadata_service_that_has_no_credentials():
    with _answering(404, {"Content-Length": "0"}, b"") as base:
        assert "/latest/api/token" in str(_said(_store(base, config={"metadata_endpoint": base})))


def test_obstore_names_a_credential_provider_that_fails():
    def broken():
        raise RuntimeError("no credentials today")

    with _answering(404, {"Content-Length": "0"}, b"") as base:
        assert "credential provider:" in str(_said(_store(base, credential_provider=broken)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, obstore.exceptions.PermissionDeniedError),
        (401, obstore.exceptions.UnauthenticatedError),
        (404, FileNotFoundError),
        (412, obstore.exceptions.PreconditionError),
        (500, obstore.exceptions.BaseError),
    ],
)
def test_obstore_raises_the_classes_that_we_tell_apart(status, kind):
    with _answering(status, _LENGTH, _CODE) as base:
        assert isinstance(_said(_store(base, config=_KEYS)), kind)


def test_obstore_tells_a_server_that_ignores_ranges():
    with _answering(200, _LENGTH, _CODE) as base:
        assert isinstance(_said(HTTPStore(base, client_options=_PLAIN)), obstore.exceptions.NotSupportedError)
