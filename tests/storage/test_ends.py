"""How a run ends: at once, with the right exit status, and with nothing left behind."""

import gc
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from servers import http_proxy
from tars import pairs, write_tar

from streamaug import ShardReader, ShardSet, StorageOptions

CODE = """
import sys
from streamaug import ShardReader, ShardSet, StorageOptions
shards = ShardSet.open(sys.argv[1], storage=StorageOptions(deadline=60, request_timeout=30))
for number, batch in enumerate(ShardReader(shards, batch_size=4, lanes=4, window=16)):
    print("batch", flush=True)
    if sys.argv[2] == "raise":
        raise RuntimeError("the loop's own")
    if sys.argv[2] == "exit":
        sys.exit(5)
    if sys.argv[2] == "wait":
        import time
        time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        write_tar(tmp_path / f"x-{number}.tar", pairs(50, start=50 * number, size=20_000))
    return tmp_path


def slow_after(count):
    """Shards are served at once, then not at all."""
    seen = [0]

    def fault(method, path, number):
        if method == "GET" and path.endswith(".tar"):
            seen[0] += 1
            return "stall" if seen[0] > count else None
        return None

    return fault


@pytest.mark.parametrize(("how", "status"), [("raise", 1), ("exit", 5), ("wait", -signal.SIGINT)])
def test_a_run_ends_within_seconds_while_the_server_stalls(folder, how, status):
    with http_proxy(folder, slow_after(14), stall_seconds=40) as (_, base):
        command = [sys.executable, "-c", CODE, base + "/x-{0..3}.tar", how]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.stdout.readline() == "batch\n"
        started = time.monotonic()
        if how == "wait":
            run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
        assert time.monotonic() - started < 5
        assert run.returncode == status
        assert {"raise": "the loop's own", "exit": "", "wait": "KeyboardInterrupt"}[how] in errors


def test_an_interrupt_while_waiting_for_a_stalled_shard_ends_within_seconds(folder):
    with http_proxy(folder, slow_after(12), stall_seconds=40) as (proxy, base):
        command = [sys.executable, "-c", CODE, base + "/x-{0..3}.tar", "go on"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not proxy.faults["stall"]:
            time.sleep(0.05)
        time.sleep(0.5)
        started = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
        assert time.monotonic() - started < 5
        assert run.returncode == -signal.SIGINT
        assert "KeyboardInterrupt" in errors


def standing():
    """Threads (the server's own apart), descriptors and resident bytes of this process."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    threads = [thread for thread in threading.enumerate() if "process_request_thread" not in thread.name]
    return len(threads), len(list(Path("/proc/self/fd").iterdir())), resident


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")
@pytest.mark.parametrize(("where", "epochs"), [("local", 1000), ("http", 60)])
def test_many_tiny_epochs_leave_nothing_behind(folder, where, epochs):
    with http_proxy(folder) as (_, base):
        url = (str(folder) if where == "local" else base) + "/x-{0..3}.tar"
        reader = ShardReader(ShardSet.open(url, storage=StorageOptions()), batch_size=50, lanes=4, window=100)
        for _ in range(epochs // 5):
            assert sum(1 for _ in reader) == 4
        before = standing()
        for _ in range(epochs):
            assert sum(1 for _ in reader) == 4
        reader.close()
        deadline = time.monotonic() + 3
        while standing()[0] > before[0] and time.monotonic() < deadline:
            time.sleep(0.05)
        threads, descriptors, resident = standing()
        assert threads <= before[0]
        assert descriptors <= before[1] + (4 if where == "local" else 48)  # both ends of 16 kept connections, and more
        assert resident < before[2] + 20e6
