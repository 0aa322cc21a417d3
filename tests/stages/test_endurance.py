"""Long lives and sudden ends: a thousand epochs leave nothing behind, Ctrl-C and errors end a program."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from shards_on_disk import write_shard
from watching import PATIENCE, descriptors, fetchers, going_on, started

import streamaug as sa
from streamaug import recipes


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_a_thousand_epochs_keep_memory_threads_and_descriptors_flat(drawn, tmp_path):
    path = write_shard(tmp_path / "tiny-000000.tar", drawn[:8])
    reader = sa.ShardReader(sa.ShardSet.open(str(path)), batch_size=4, lanes=4)
    chain = reader.augment(recipes.imagenet_train(size=16), device="cpu", num_threads=1).mixup(num_classes=1000)
    threads, files, before = threading.active_count(), descriptors(), 0
    for number in range(1000):
        if number % 2:  # every other pass is left in the middle
            assert next(iter(chain)).origin.epoch == number
        else:
            assert [batch.origin.epoch for batch in chain] == [number] * 2
        if number == 300:
            gc.collect()
            before = resident()
            files = descriptors()
    gc.collect()
    assert not going_on(fetchers())  # they end when idle
    assert resident() - before < 40 << 20
    assert threading.active_count() <= threads
    assert descriptors() <= files


PROGRAM = """
    import sys
    import streamaug as sa
    from streamaug import recipes

    reader = sa.ShardReader(sa.ShardSet.open(sys.argv[1]), batch_size=32, lanes=16, window=64)
    chain = reader.augment(recipes.imagenet_train(size=64), device="cpu").mixup(num_classes=1000)
    print("ready", flush=True)
    while True:
        for batch in chain:
            if sys.argv[2] == "error":
                raise RuntimeError("an error of the user")
            if batch.origin.step == 1:
                print("going", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "number", "code"),
    [("interrupt", signal.SIGINT, -signal.SIGINT), ("terminate", signal.SIGTERM, -signal.SIGTERM), ("error", None, 1)],
)
def test_programs_end_and_say_why(uneven, interruptible, end, number, code):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), uneven[0], end]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == "ready\n"
        if number is not None:
            assert child.stdout.readline() == "going\n"
            child.send_signal(number)
        _, stderr = child.communicate(timeout=PATIENCE)
    assert child.returncode in {code, 128 + abs(code)}
    if end == "interrupt":
        assert "KeyboardInterrupt" in stderr
    if end == "error":
        assert "an error of the user" in stderr


LEFT = """
    import sys
    import streamaug as sa
    from streamaug import recipes

    reader = sa.ShardReader(sa.ShardSet.open(sys.argv[1]), batch_size=32, lanes=16, window=64)
    stream = iter(reader.augment(recipes.imagenet_train(size=64), device="cpu"))
    print(next(stream).origin.step)
"""


@pytest.mark.slow
def test_a_program_that_ends_in_the_middle_of_a_pass_ends_quietly(uneven):
    command = [sys.executable, "-c", textwrap.dedent(LEFT), uneven[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_an_error_in_the_loop_ends_the_threads_once_its_traceback_is_gone(uneven):
    before = set(threading.enumerate())
    reader = sa.ShardReader(sa.ShardSet.open(uneven[0]), batch_size=32, lanes=16, window=64)
    chain = reader.augment(recipes.imagenet_train(size=32), device="cpu")

    def loop():
        for _ in chain:
            raise RuntimeError("an error of the user")

    with pytest.raises(RuntimeError, match="of the user"):
        loop()
    gc.collect()
    assert not going_on(set(threading.enumerate()) - before)
