"""Ctrl-C at any moment, and forks after a first batch: the chain goes on exactly, or says what to do; nothing hangs."""

import gc
import os
import random
import subprocess
import sys
import traceback
import weakref
from pathlib import Path

import pytest
from chains import plain, standing, taken, train
from reading import rows
from watching import PATIENCE

import streamaug as sa

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(sa.__file__).parents[1])}


def run(*arguments, patience=PATIENCE):
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=patience, check=False
    )


class Interrupter:
    """Counts calls, and returns of functions in C, and raises KeyboardInterrupt at the n-th: where Ctrl-C does.

    Python looks for signals when a function begins, and when one in C returns, never right before a call: `with lock`
    cannot be left without its release. DALI asks `traceback` for a part of the stack, whose generator is then freed
    before its end: Python swallows what is raised there, so no moment lies in it.
    """

    def __init__(self, moment=None):
        self.moment, self.count = moment, 0

    def __call__(self, frame, event, argument):
        inside = frame.f_code is not self.of_next.__code__ and frame.f_code.co_filename != traceback.__file__
        self.count += inside and event in ("call", "c_return")
        if inside and self.count == self.moment:
            sys.setprofile(None)
            raise KeyboardInterrupt

    def of_next(self, stream):
        """The next batch, as a loop takes it."""
        sys.setprofile(self)
        try:
            for batch in stream:
                return batch
        finally:
            sys.setprofile(None)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 2], ids=["first batch", "later batch"])
@pytest.mark.parametrize("build", [plain, train], ids=["reader", "augment"])
def test_wherever_next_is_interrupted_the_chain_goes_on_exactly(url, build, count):
    expected, shards = {batch.origin.step: rows([batch]) for batch in build(url)}, sa.ShardSet.open(url)
    counter = Interrupter()
    counter.of_next(taken(build(shards), count))
    chosen = random.Random(5).sample(range(1, counter.count), 16)
    for moment in [*range(1, 7), *chosen, *range(counter.count - 12, counter.count)]:
        chain, delivered = build(shards), count
        stream = taken(chain, count)
        try:
            Interrupter(moment).of_next(stream)
            delivered += 1
        except KeyboardInterrupt:
            assert standing(chain) == (0, delivered)
        chain.load_state_dict(chain.state_dict())
        assert rows([next(iter(chain))]) == expected[delivered]
        chain.close()


INTERRUPTED = """
import hashlib, random, signal, sys
import streamaug as sa
from streamaug import recipes

assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
shards, moments, pressed = sa.ShardSet.open(sys.argv[1]), random.Random(7), []


def press(number, frame):
    pressed.append(number)
    signal.raise_signal(signal.SIGINT)


# The interpreter swallows an interrupt that comes while it frees an object, and says so here: press again soon.
signal.signal(signal.SIGALRM, press)
sys.unraisablehook = lambda ignored: signal.setitimer(signal.ITIMER_REAL, 1.0, 60.0)


def build():
    reader = sa.ShardReader(shards, batch_size=64, seed=3, lanes=16, window=128)
    return reader.augment(recipes.imagenet_train(size=96), device="cpu", num_threads=2).mixup(num_classes=1000)


def digest(batch):
    return batch.origin.epoch, batch.origin.step, hashlib.md5(batch.images.numpy().tobytes()).hexdigest()


whole = build()
full = [digest(batch) for _ in range(2) for batch in whole]
chain, got, interrupts = build(), {}, 0
while interrupts < 30:
    try:
        signal.setitimer(signal.ITIMER_REAL, moments.random() * 0.3 + 0.001, 60.0)
        while True:
            for batch in chain:
                got[batch.origin.epoch * len(chain) + batch.origin.step] = batch
            if chain.epoch >= 2:
                chain.set_epoch(0)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        interrupts += 1
        state = chain.state_dict()
        chain.load_state_dict(state)
    assert all(digest(batch) == full[number] for number, batch in got.items() if number < len(full)), got.keys()
    got.clear()
    number = state["epoch"] * len(chain) + state["position"] // 64
    if number < len(full):
        assert digest(chain.peek()) == full[number]
    if interrupts % 3 == 0:
        chain = build()
        chain.load_state_dict(state)
print(interrupts, "lost" if len(pressed) > interrupts + 5 else "")
"""


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_at_thirty_random_moments_leaves_as_keyboard_interrupt(url):
    done = run("-W", "error", "-c", INTERRUPTED, url, patience=4 * PATIENCE)  # some 60 passes are begun and compared
    assert (done.returncode, done.stdout.split()) == (0, ["30"]), done.stderr


def test_a_chain_that_nobody_refers_to_is_freed_at_once(url):
    for interrupted in (False, True):
        for taken_before in (0, 2):
            chain = train(sa.ShardSet.open(url))
            stream = taken(chain, taken_before)
            if interrupted:
                with pytest.raises(KeyboardInterrupt):
                    Interrupter(400).of_next(stream)
            freed = [weakref.ref(each) for each in (chain, chain.source)]
            gc.disable()
            try:
                del chain, stream
                assert [each() for each in freed] == [None, None], (interrupted, taken_before)
            finally:
                gc.enable()


FORKED = """
import gc, os, sys
import streamaug as sa
from streamaug import recipes

shards = sa.ShardSet.open(sys.argv[1])


def build():
    reader = sa.ShardReader(shards, batch_size=64, seed=3, lanes=16, window=128)
    return reader.augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2)


def place(batch):
    return batch.origin.epoch, batch.origin.step


chain = build()
stream = iter(chain)
next(stream)
held = [chain, stream]
del chain, stream


def refused():
    for action in (lambda: next(held[1]), lambda: next(iter(held[0])), held[0].peek, lambda: held[0].set_epoch(1)):
        try:
            action()
        except sa.StreamaugError as error:
            assert "forked" in str(error)
        else:
            raise AssertionError("a forked process was given a batch")


def of_its_own():
    assert place(next(iter(build()))) == (0, 0)


def left_alone():
    assert len(held[0]) == 6 and held[0].state_dict()["position"] == 64


def dropped():
    held.clear()
    gc.collect()


for child in (refused, of_its_own, left_alone, lambda: held[0].close(), dropped):
    pid = os.fork()
    if pid == 0:
        child()
        sys.exit(7)  # the interpreter ends as usual: DALI must not wait for threads that stayed behind
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert [place(batch) for batch in held[1]] == [(0, step) for step in range(1, 6)]
"""


@pytest.mark.slow
def test_a_fork_after_a_first_batch_is_an_error_in_the_child_and_nothing_hangs(url):
    done = run("-W", "ignore::DeprecationWarning", "-c", FORKED, url)  # Python 3.12 warns of a fork beside threads
    assert done.returncode == 0, done.stderr
