"""Real servers for tests: files over HTTP, SeaweedFS for S3, and a proxy of our own that injects faults between.

The proxy sits before either of them, counts what passes, and asks a function for each request what to do to it.
"""

import base64
import contextlib
import email.utils
import hmac
import http.client
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from watching import PATIENCE, comes_true

KEY, SECRET = "AKIAPLANTEDKEY", "planted-secret-key"
#: The account that every Azurite has, and its published key.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class _Files(BaseHTTPRequestHandler):
    """A folder over HTTP/1.1, with ranges, etags and nothing else."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = self.server.folder / urllib.parse.unquote(self.path.lstrip("/").partition("?")[0])
        if not path.is_file():
            self.send_error(404)
            return
        status = path.stat()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = 0, status.st_size - 1
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"')
        self.send_header("Last-Modified", self.date_time_string(int(status.st_mtime)))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{status.st_size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if body:
            with path.open("rb") as file:
                file.seek(first)
                self.wfile.write(file.read(last + 1 - first))


class _Proxy(BaseHTTPRequestHandler):
    """Passes requests on unchanged, and answers back, but for the fault of the moment."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.forward()

    do_GET = do_PUT = do_POST = do_HEAD

    def forward(self):
        proxy = self.server.proxy
        number, fault = proxy.note(self.command, self.path, self.headers.get("Authorization", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if isinstance(fault, int):
            self.send_error(fault)
            return
        if fault == "reset before":
            self.reset()
            return
        if fault == "stall":
            proxy.released.wait(proxy.stall_seconds)
        headers = dict(self.headers)
        if fault == "ignore range":
            headers = {name: value for name, value in headers.items() if name.lower() != "range"}
        upstream = http.client.HTTPConnection(*proxy.upstream, timeout=PATIENCE)
        try:
            upstream.request(self.command, self.path, body=body or None, headers=headers)
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("transfer-encoding", "content-length", "connection", "server", "date"):
                continue
            if name.lower() in ("etag", "last-modified") and fault == "no tag":
                continue
            self.send_header(name, f'"other-{number}"' if name.lower() == "etag" and fault == "etag" else value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.send_body(data, fault, proxy)

    def send_body(self, data, fault, proxy):
        if fault in ("short", "reset"):
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if fault == "reset":
                self.reset()
            self.close_connection = True
            return
        if fault == "wrong bytes" and data:
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        proxy.sent(self.path, len(data))  # before the client has it, who may look at the count then
        if fault == "drip":
            for at in range(0, len(data), max(1, len(data) // 10)):
                self.wfile.write(data[at : at + max(1, len(data) // 10)])
                self.wfile.flush()
                if proxy.stopped.wait(0.03):
                    return
        else:
            self.wfile.write(data)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


class Proxy:
    """A fault-injecting proxy; `fault(method, path, number)` names what happens to a request, None: nothing.

    Faults: a status number, "reset before", "reset", "short", "stall", "drip", "ignore range", "etag", "no tag",
    "wrong bytes". A stalled request goes on after `stall_seconds` (None: not by itself), when `released` is set, and
    when the proxy ends.
    """

    def __init__(self, upstream, fault=lambda method, path, number: None, stall_seconds=None):
        self.upstream, self.fault, self.stall_seconds = upstream, fault, stall_seconds
        self.requests, self.paths, self.faults, self.bytes = Counter(), Counter(), Counter(), 0
        self.authorizations = Counter()
        self.all_bytes = 0
        self.released, self.stopped = threading.Event(), threading.Event()
        self._noted = threading.Condition()

    def forget(self):
        """Count from none again."""
        with self._noted:
            for counter in (self.requests, self.paths, self.faults, self.authorizations):
                counter.clear()
            self.bytes = self.all_bytes = 0

    def note(self, method, path, authorization):
        with self._noted:
            self.requests[method] += 1
            self.authorizations[authorization] += 1
            self.paths[path] += 1
            number = sum(self.requests.values())
            fault = self.fault(method, path, number)
            if fault is not None:
                self.faults[fault] += 1
            self._noted.notify_all()
        return number, fault

    def wait_for(self, condition):
        """Wait until the requests that have come make a condition true."""
        with self._noted:
            assert self._noted.wait_for(condition, PATIENCE), (self.requests, self.faults)

    def sent(self, path, count):
        with self._noted:
            self.all_bytes += count
            if path.endswith(".tar"):
                self.bytes += count


@contextmanager
def _running(handler, **attributes):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    for name, value in attributes.items():
        setattr(server, name, value)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[:2]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def http_proxy(folder, fault=lambda method, path, number: None, **options):
    """Files of a folder behind a proxy; gives the proxy and its base URL."""
    with _running(_Files, folder=Path(folder)) as upstream, proxy_before(upstream, fault, **options) as pair:
        yield pair


class _Status(BaseHTTPRequestHandler):
    """Answers every request with one status."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.statistics["requests"] += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_GET


@contextmanager
def answering(status):
    """A server that gives that status whatever is asked; gives a counter of requests and its base URL."""
    statistics = Counter()
    with _running(_Status, status=status, statistics=statistics) as (host, port):
        yield statistics, f"http://{host}:{port}"


@contextmanager
def proxy_before(upstream, fault=lambda method, path, number: None, **options):
    """A proxy before (host, port); gives the proxy and its base URL."""
    proxy = Proxy(upstream, fault, **options)
    with _running(_Proxy, proxy=proxy) as (host, port):
        try:
            yield proxy, f"http://{host}:{port}"
        finally:
            proxy.stopped.set()
            proxy.released.set()


def some_faults(share, kinds, seed=0):
    """A fault of `kinds` in that share of the requests for shards, the same ones each time."""
    rng = random.Random(seed)

    def fault(method, path, number):
        return rng.choice(kinds) if method == "GET" and path.endswith(".tar") and rng.random() < share else None

    return fault


def weed():
    """The SeaweedFS program, or None where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def seaweedfs():
    """SeaweedFS with an S3 gateway; gives its (host, port). Credentials: KEY, SECRET; buckets appear when used."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "s3.json")
        identity = {"name": "t", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        config.write_text(json.dumps({"identities": [identity]}))
        for attempt in range(3):
            ports = free_ports(8)
            process = _start_weed(folder, config, ports)
            try:
                if answers(ports[6], "/healthz", process):
                    yield "127.0.0.1", ports[6]
                    return
            finally:
                process.kill()
                process.wait()
                for port in ports:
                    for path in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                        path.unlink(missing_ok=True)
            print(f"SeaweedFS did not start, attempt {attempt + 1}: {Path(folder, 'log').read_text()[-500:]}")
        raise RuntimeError("SeaweedFS did not start")


def azurite():
    """The start of Azurite's command line, or None where `make` could not install it."""
    script = Path(sys.prefix, "azurite/node_modules/azurite/dist/src/blob/main.js")
    return ["node", str(script)] if script.exists() and shutil.which("node") else None


@contextmanager
def azure_blobs(container):
    """Azurite, Azure's own emulator, with one container; gives the endpoint of the account AZURE_ACCOUNT."""
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports(1)
        where = ["--location", folder, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command = [*azurite(), "--silent", "--skipApiVersionCheck", "--disableTelemetry", *where]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in process.stdout:
                if "successfully listens" in line:
                    break
            else:
                raise RuntimeError("Azurite did not start")
            _make_container(port, container)
            yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        finally:
            process.kill()
            process.communicate()


def _make_container(port, container):
    """Create it by a request signed with the shared key, as Azure's "Authorize with Shared Key" says."""
    date = email.utils.formatdate(usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
    what = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{container}\nrestype:container"
    text = "PUT" + 12 * "\n" + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n{what}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")).decode()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{signature}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("PUT", f"/{AZURE_ACCOUNT}/{container}?restype=container", headers=headers)
    status = connection.getresponse().status
    connection.close()
    if status != 201:
        raise RuntimeError(f"Azurite made no container: {status}")


def free_ports(count):
    """Ports that nobody listens on, below those that the system hands out to clients."""
    ports = []
    for port in random.SystemRandom().sample(range(20_000, 30_000), 200):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("no free ports")


def _start_weed(folder, config, ports):
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    arguments = [f"-{name}={port}" for name, port in zip((*names, "s3.port", "s3.port.grpc"), ports, strict=True)]
    fixed = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.config={config}"]
    fixed += [
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=true",
        "-volume.max=20",
        "-master.volumeSizeLimitMB=256",
    ]
    fixed += ["-master.telemetry=false", "-volume.minFreeSpacePercent=0"]
    command = [weed(), "-logtostderr=true", "server", *fixed, *arguments]
    with Path(folder, "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def answers(port, path, process):
    """Wait for a server; False if its process ends, or does not answer."""
    return comes_true(lambda: _is_well(port, path) or process.poll() is not None) and process.poll() is None


def _is_well(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


def s3_environment(monkeypatch, endpoint):
    """The environment of a client of that endpoint, and nothing of the machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
