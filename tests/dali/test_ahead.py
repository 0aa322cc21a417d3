"""The engine's own thread prepares batches, runs nothing of the user's, and ends with whoever owns it."""

import threading
import weakref

import numpy as np
import pytest
from augmenting import encoded_batches, refuse
from chains import STEPS, train
from watching import going_on

from streamaug import ops, recipes
from streamaug.dali.ahead import THREAD_NAME, Ahead
from streamaug.dali.engine import AugmentEngine
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Preparer
from streamaug.recipes.recipe import Recipe


class OwnFlip(ops.HorizontalFlip):
    """An operation of a user's, which notes who calls it."""

    __slots__ = ()
    threads = []  # noqa: RUF012 - a class of the tests

    def matrix(self, draws, height, width):
        self.threads.append(threading.current_thread())
        return super().matrix(draws, height, width)


@pytest.fixture(scope="module")
def jpegs(drawn):
    return [jpeg for _, _, jpeg in drawn[:32]]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def test_the_thread_gives_results_and_errors_in_order_and_keeps_neither():
    class Result:
        pass

    ahead = Ahead()
    first, refused = ahead.submit(Result), ahead.submit(lambda: 1 // 0)
    result = weakref.ref(first.result())
    with pytest.raises(ZeroDivisionError):
        refused.result()
    assert ahead.submit(threading.current_thread).result().name == THREAD_NAME
    del first
    assert result() is None
    ahead.close()
    ahead.close()


@pytest.mark.parametrize("close", [True, False], ids=["closed", "dropped"])
def test_the_thread_ends_with_its_owner(close):
    ahead = Ahead()
    thread = ahead.submit(threading.current_thread).result()
    if close:
        ahead.close()
        assert not thread.is_alive()
    del ahead
    assert going_on([thread]) == []


def test_the_thread_itself_may_close_its_owner():
    """It does when it collects an abandoned pass, and nothing can wait for the thread that it runs on."""
    ahead = Ahead()
    thread = ahead.submit(threading.current_thread).result()
    ahead.submit(ahead.close).result()
    assert going_on([thread]) == []


@pytest.mark.parametrize("leave", ["finished", "left", "closed"])
def test_a_chain_has_one_thread_as_long_as_its_pass(uneven, leave):
    before = threads()
    chain = train(uneven[0])
    stream = iter(chain)
    assert threads() == before
    next(stream)
    assert len(threads()) == len(before) + 1
    if leave == "finished":
        assert len(list(stream)) == STEPS - 1
    elif leave == "left":
        del stream
    else:
        chain.close()
    assert threads() == before


def test_batches_are_prepared_in_the_thread(jpegs, monkeypatch):
    seen, prepare_ahead = [], Preparer.prepare_ahead

    def noted(self, batch):
        seen.append(threading.current_thread().name)
        return prepare_ahead(self, batch)

    monkeypatch.setattr(Preparer, "prepare_ahead", noted)
    engine = AugmentEngine(recipes.imagenet_train(size=16), device="cpu", num_threads=2)
    assert len(list(engine.run(encoded_batches(jpegs, 8), refuse))) == 4
    engine.close()
    assert seen == [THREAD_NAME] * 4


@pytest.mark.parametrize("ending", ["cut off", "unlabelled"])
def test_whatever_is_the_users_runs_in_the_thread_that_takes_batches(jpegs, ending):
    seen = OwnFlip.threads
    seen.clear()

    def own(result):
        seen.append(threading.current_thread())
        return result

    def replace(batch, problems):
        return own(next(encoded_batches(jpegs[:8], 8, labels=[b"1"] * 8)))

    bad = [jpegs[0][:-9] if ending == "cut off" else jpegs[0], *jpegs[1:8]]
    label = b"1" if ending == "cut off" else b"cat"
    recipe = Recipe([ops.RandomResizedCrop(16), OwnFlip()])
    own_operation = AugmentEngine(lambda epoch: own(recipe), device="cpu", num_threads=2)
    own_target = AugmentEngine(
        recipes.imagenet_train(size=16), device="cpu", num_threads=2, targets=lambda text: own(int(text))
    )
    neither = AugmentEngine(recipes.imagenet_train(size=16), device="cpu", num_threads=2)
    for engine in (own_operation, own_target, neither):
        (batch,) = engine.run(encoded_batches(bad, 8, labels=[label, *[b"1"] * 7]), replace)
        assert batch.targets.tolist() == [1] * 8
        engine.close()
    assert len(seen) >= 3
    assert set(seen) == {threading.current_thread()}


def test_what_the_thread_leaves_to_decide_comes_out_as_if_there_were_no_thread(jpegs):
    def replace(batch, problems):
        assert list(problems) == [2]
        return next(encoded_batches(jpegs[:8], 8))

    broken = [*jpegs[:2], jpegs[2][:-9], *jpegs[3:8]]
    (whole,) = encoded_batches(jpegs[:8], 8)
    (cut,) = encoded_batches(broken, 8)
    preparer = Preparer(Layout(recipes.imagenet_train(size=16)))
    assert preparer.prepare_ahead(cut) is None
    ahead, here = preparer.prepare_ahead(whole), preparer.prepare(cut, replace)
    for name, feed in here.plan.feeds.items():
        assert np.array_equal(feed, ahead.plan.feeds[name]), name
