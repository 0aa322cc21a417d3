"""A web server over HTTP/1.1 whose answers a test writes itself, and whose bytes are counted and may be slow.

`served(files)` answers as a server should; `answer(request)` may give a `Reply` of its own for any request.
"""

import re
import threading
import time
import urllib.parse
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ETAG = '"one"'


@dataclass
class Request:
    """What was asked: first byte and one past the last where a range was; names of headers are in small letters.

    `port` is that of the client's end of the connection.
    """

    number: int
    method: str
    path: str
    query: str
    headers: dict
    start: int | None
    stop: int | None
    port: int = 0

    @property
    def is_range(self):
        return self.method == "GET" and self.start is not None


@dataclass
class Reply:
    """What is sent: `sent` bytes of the body, and then the end of the connection; a header that is None is left out."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    sent: int | None = None


class Server:
    """Counts what it is asked and what it sends.

    Attributes:
        requests: Every request so far.
        asked: How often each kilobyte of a .tar was sent, by path and number.
    """

    def __init__(self, files, answer, each, together):
        self.files, self.answer, self.each, self.together = files, answer, each, together
        self.requests, self.asked, self.sent = [], Counter(), 0
        self.stopped, self._lock, self._free_at = threading.Event(), threading.Lock(), 0.0

    def note(self, request):
        with self._lock:
            request.number = len(self.requests) + 1
            self.requests.append(request)

    def count(self, path, start, size):
        with self._lock:
            self.sent += size
            self.asked.update((path, block) for block in range(start // 1024, -(-(start + size) // 1024)))

    def pause(self, size):
        """Take as long as `size` bytes do, on this connection and on the line that all share."""
        if self.each:
            time.sleep(size / self.each)
        if self.together:
            with self._lock:
                now = time.monotonic()
                self._free_at = max(now, self._free_at) + size / self.together
                wait = self._free_at - now
            time.sleep(wait)

    def reply(self, request):
        """What a server should answer."""
        data = self.files.get(request.path)
        if data is None:
            return Reply(404)
        if request.start is None:
            return Reply(200, {"ETag": ETAG}, data)
        if request.start >= len(data):
            return Reply(416, {"Content-Range": f"bytes */{len(data)}"})
        return self.part(request, request.start, request.stop)

    def part(self, request, start, stop, **headers):
        """A part of a file, and what is said of it."""
        data = self.files[request.path]
        stop = min(stop, len(data))
        said = {"ETag": ETAG, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        return Reply(206, said | {name.replace("_", "-"): value for name, value in headers.items()}, data[start:stop])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server.odd
        path, _, query = self.path.partition("?")
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(span[1]), int(span[2]) + 1) if span else (None, None)
        path = urllib.parse.unquote(path.lstrip("/"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(0, self.command, path, query, headers, start, stop, self.client_address[1])
        server.note(request)
        reply = server.answer(server, request) or server.reply(request)
        self.send_response(reply.status)
        for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = reply.body if reply.sent is None else reply.body[: reply.sent]
        step = 16384 if server.each or server.together else max(1, len(body))
        for at in range(0, len(body), step):
            server.pause(len(body[at : at + step]))
            if path.endswith(".tar"):  # before it is sent, since whoever has it may ask for the count at once
                server.count(path, (start or 0) + at, len(body[at : at + step]))
            self.wfile.write(body[at : at + step])
        if reply.sent is not None or "Content-Length" in reply.headers:
            self.close_connection = True

    do_HEAD = do_GET


@contextmanager
def served(files, answer=lambda server, request: None, *, each=None, together=None):
    """A server of files, name -> bytes; gives it and its base URL.

    Args:
        files: What there is.
        answer: A function of the server and a request that gives a `Reply`, or None for the right one.
        each: Bytes a second on one connection; None: no limit.
        together: Bytes a second on all of them.
    """
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads, http.handle_error = True, lambda *_: None
    http.odd = Server(dict(files), answer, each, together)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield http.odd, f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.odd.stopped.set()
        http.shutdown()
        http.server_close()
        thread.join()
