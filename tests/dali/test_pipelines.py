"""Pipelines and their threads are freed at once, with the garbage collector off: closed, replaced and failed ones."""

import gc
import time
import weakref
from pathlib import Path

import pytest
from augmenting import encoded_batches, refuse, rejected_by_dali_alone, stand_in
from watching import PATIENCE

import streamaug as sa
from streamaug import recipes
from streamaug.dali import runner
from streamaug.dali.engine import AugmentEngine
from streamaug.dali.sample_decoder import RefusedError, SampleDecoder
from streamaug.errors import BadSampleError


@pytest.fixture
def jpegs(drawn):
    return [jpeg for _, _, jpeg in drawn[:64]]


class Alive:
    """The pipelines and threads that are alive beyond those of now."""

    def __init__(self):
        self._pipelines, self._threads = len(runner._PIPELINES), self._tasks()

    def _tasks(self):
        return len(list(Path("/proc/self/task").iterdir()))

    def pipelines(self):
        return len(runner._PIPELINES) - self._pipelines

    def in_the_end(self):
        """(pipelines, threads), where a joined thread is given the moment in which the kernel takes it out of /proc."""
        until = time.monotonic() + PATIENCE
        while self._tasks() > self._threads and time.monotonic() < until:
            time.sleep(0.001)
        return self.pipelines(), self._tasks() - self._threads


@pytest.fixture
def alive():
    """What lives beyond what did before the test, which runs with the garbage collector off."""
    list(AugmentEngine(recipes.imagenet_train(size=16), device="cpu").run(iter(()), refuse))
    gc.collect()
    gc.disable()
    yield Alive()
    gc.enable()


@pytest.fixture
def alive_when_built(monkeypatch, alive):
    """Fills up with the pipelines that were alive each time when one was built."""
    found, build = [], runner.Runner.__init__

    def counted(self, *arguments, **options):
        found.append(alive.pipelines())
        build(self, *arguments, **options)

    monkeypatch.setattr(runner.Runner, "__init__", counted)
    return found


def train(**options):
    return AugmentEngine(recipes.imagenet_train(size=32), device="cpu", num_threads=2, **options)


def test_a_closed_engine_leaves_nothing(jpegs, alive):
    engine = train()
    assert len(list(engine.run(encoded_batches(jpegs, 16), refuse))) == 4
    assert alive.pipelines() == 1
    engine.close()
    assert alive.in_the_end() == (0, 0)


def test_a_closed_chain_leaves_nothing(uneven, alive):
    with sa.ShardReader(sa.ShardSet.open(uneven[0]), batch_size=32).augment(
        recipes.imagenet_train(size=32), device="cpu", num_threads=2
    ) as chain:
        next(iter(chain))
        assert alive.pipelines() == 1
    assert alive.pipelines() == 0


def test_a_replaced_pipeline_is_gone_before_the_next_is_built(jpegs, alive, alive_when_built):
    engine = AugmentEngine(lambda epoch: recipes.imagenet_train(size=32 + 16 * epoch), device="cpu", num_threads=2)
    for epoch in range(3):
        list(engine.run(encoded_batches(jpegs, 16 + 8 * epoch, epoch=epoch), refuse))
    assert alive_when_built == [0, 0, 0]
    engine.close()
    assert alive.in_the_end() == (0, 0)


def test_a_failed_pipeline_is_gone_before_the_next_is_built(jpegs, alive, alive_when_built):
    data = [rejected_by_dali_alone() if row in (5, 40) else jpeg for row, jpeg in enumerate(jpegs)]
    replace, asked = stand_in(jpegs[3])
    engine = train(prefetch=3)
    assert len(list(engine.run(encoded_batches(data, 16), replace))) == 4
    assert len(asked) == 2
    assert len(alive_when_built) > 4
    assert set(alive_when_built) == {0}
    engine.close()
    assert alive.in_the_end() == (0, 0)


def test_an_error_that_is_kept_keeps_no_pipeline(jpegs, alive):
    data = [rejected_by_dali_alone() if row == 40 else jpeg for row, jpeg in enumerate(jpegs)]
    engine = train(prefetch=3)
    with pytest.raises(BadSampleError) as kept:
        list(engine.run(encoded_batches(data, 16), refuse))
    engine.close()
    assert alive.in_the_end() == (0, 0)
    gone = weakref.ref(engine)
    del engine, kept
    assert gone() is None


def test_a_refusal_leaves_nothing(alive):
    decoder = SampleDecoder()
    with pytest.raises(RefusedError) as kept:
        decoder.decode(rejected_by_dali_alone(), (0, 0), (2, 2))
    assert alive.in_the_end() == (0, 0)
    assert kept.value.__cause__ is not None


def test_a_pass_that_is_left_leaves_nothing_but_the_engines_pipeline(jpegs, alive):
    engine = train()
    left = engine.run(encoded_batches(jpegs, 16), refuse)
    next(left)
    left.close()
    del left
    assert alive.pipelines() == 1
    del engine
    assert alive.in_the_end() == (0, 0)
