"""How a run ends: without waiting for a server, with the right exit status, and with nothing left behind."""

import gc
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from servers import http_proxy
from tars import consecutive, write_tars
from watching import PATIENCE, fetchers, going_on, started

from streamaug import ShardReader, ShardSet, StorageOptions
from streamaug.cli import main

CODE = """
import signal, sys
from streamaug import ShardReader, ShardSet, StorageOptions
shards = ShardSet.open(sys.argv[1], storage=StorageOptions(deadline=600, request_timeout=600))
for number, batch in enumerate(ShardReader(shards, batch_size=4, lanes=4, window=16)):
    print("batch", flush=True)
    if sys.argv[2] == "raise":
        raise RuntimeError("the loop's own")
    if sys.argv[2] == "exit":
        sys.exit(5)
    if sys.argv[2] == "wait":
        signal.pause()
"""


@pytest.fixture
def folder(tmp_path):
    return write_tars(tmp_path, consecutive([50] * 4, size=20_000))


@pytest.fixture
def indexed(tmp_path):
    """Shards of 8 MB with indexes: the first batch takes a sample of each, and 14 requests stand at once."""
    folder = write_tars(tmp_path, consecutive([400] * 4, size=20_000))
    main(["index", f"{folder}/x-{{0..3}}.tar"])
    return folder


def stalls_after(count):
    """So many requests for shards are served, then none."""
    seen = [0]

    def fault(method, path, number):
        if method == "GET" and path.endswith(".tar"):
            seen[0] += 1
            return "stall" if seen[0] > count else None
        return None

    return fault


@pytest.mark.slow
@pytest.mark.parametrize(("how", "status"), [("raise", 1), ("exit", 5), ("wait", -signal.SIGINT)])
def test_a_run_ends_while_the_server_stalls(indexed, interruptible, how, status):
    with http_proxy(indexed, stalls_after(12)) as (_, base):
        command = [sys.executable, "-c", CODE, base + "/x-{0..3}.tar", how]
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            assert run.stdout.readline() == "batch\n"
            if how == "wait":
                run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=PATIENCE)
        assert run.returncode == status
        assert {"raise": "the loop's own", "exit": "", "wait": "KeyboardInterrupt"}[how] in errors


@pytest.mark.slow
def test_an_interrupt_while_waiting_for_a_stalled_shard_ends_the_run(indexed, interruptible):
    with http_proxy(indexed, stalls_after(12)) as (proxy, base):
        command = [sys.executable, "-c", CODE, base + "/x-{0..3}.tar", "go on"]
        with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            proxy.wait_for(lambda: proxy.faults["stall"])
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=PATIENCE)
        assert run.returncode == -signal.SIGINT
        assert "KeyboardInterrupt" in errors


def standing():
    """Threads (the server's own apart), descriptors and resident bytes of this process."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    threads = [thread for thread in threading.enumerate() if "process_request_thread" not in thread.name]
    return len(threads), len(list(Path("/proc/self/fd").iterdir())), resident


@pytest.mark.slow
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
        assert not going_on(fetchers())
        threads, descriptors, resident = standing()
        assert threads <= before[0]
        assert descriptors <= before[1] + (4 if where == "local" else 48)  # both ends of 16 kept connections, and more
        assert resident < before[2] + 20e6
