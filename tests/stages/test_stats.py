"""What a chain says of itself: counts that are right, times that add up, and the name of the part that is slow."""

import copy
import json
import pickle
import threading
from itertools import pairwise
from queue import Queue

import pytest
from chains import STEPS, place, plain, standing, taken, train
from reading import reader
from servers import http_proxy
from shards_on_disk import write_shards
from slowing import LATE, SECONDS, SLOW, model, training
from watching import comes_true

import streamaug as sa
from streamaug import recipes
from streamaug.cli import main as streamaug
from streamaug.reader.metering import PassMeter


def values(stats):
    """The numbers but the names of the epoch."""
    return [value for name, value in stats.as_dict().items() if name != "epoch"]


def of(stats, name):
    (found,) = [stage for stage in stats.stages if stage.name == name]
    return found


# --- which pass they are of ---------------------------------------------------------------------


def test_before_the_first_pass_all_is_zero_and_the_names_are_those_of_later(url):
    chain = train(url).map_batch(lambda batch: batch).map_batch(lambda batch: batch)
    before = chain.stats()
    assert not any(values(before))
    assert before.late == before.why == ""
    list(chain)
    after = chain.stats()
    assert list(after.as_dict()) == list(before.as_dict())
    assert [stage.name for stage in after.stages] == ["ShardReader", "Augmenter", "MapBatch", "MapBatch_2"]
    assert all(isinstance(value, int | float) for value in after.as_dict().values())
    assert json.loads(json.dumps(after.as_dict())) == after.as_dict()


def test_numbers_are_of_the_pass_that_began_last_and_stay_behind_its_loop(url):
    chain = plain(url)
    assert chain.peek().origin.step == 0
    assert not any(values(chain.stats()))  # nothing has begun
    stream = iter(chain)
    assert next(stream).origin.step == 0
    stats = chain.stats()
    assert (stats.epoch, stats.step, stats.steps, stats.batches, stats.images) == (0, 1, STEPS, 1, 64)
    list(stream)
    whole = chain.stats()
    assert (whole.step, whole.batches, whole.images) == (STEPS, STEPS, 64 * STEPS)
    chain.seek(3, 4)
    assert chain.stats() == whole
    next(iter(chain))
    stats = chain.stats()
    assert (stats.epoch, stats.step, stats.steps, stats.batches) == (3, 5, STEPS, 1)
    chain.close()
    assert chain.stats().batches == 1


def test_a_copy_begins_at_zero_and_neither_state_nor_copy_grows(url):
    chain = train(url)
    state, copied = chain.state_dict(), len(pickle.dumps(chain))
    list(chain)
    assert chain.state_dict().keys() == state.keys()
    assert len(pickle.dumps(chain)) < copied + 64
    for other in (pickle.loads(pickle.dumps(chain)), copy.deepcopy(chain)):
        assert not any(values(other.stats()))
        list(other)
        assert other.stats().batches == STEPS


def test_a_stage_speaks_of_itself_and_of_those_before_it(url):
    chain = train(url).mixup(num_classes=1000)
    list(chain)
    assert [stage.name for stage in chain._source.stats().stages] == ["ShardReader", "Augmenter"]
    assert chain._source.stats().batches == STEPS


def test_what_was_done_since_adds_up(url):
    chain = train(url)
    stream = iter(chain)
    parts, before = [], chain.stats()
    for _ in stream:
        now = chain.stats()
        parts.append(now.since(before))
        before = now
    whole = chain.stats()
    assert sum(part.images for part in parts) == whole.images
    assert sum(of(part, "ShardReader").counts["bytes"] for part in parts) == of(whole, "ShardReader").counts["bytes"]
    assert sum(of(part, "Augmenter").work_seconds for part in parts) <= of(whole, "Augmenter").work_seconds
    assert all(part.epoch == 0 and part.steps == STEPS for part in parts)
    list(chain)
    assert chain.stats().since(whole) == chain.stats()  # of another pass


# --- times ----------------------------------------------------------------------------------------


def test_the_stages_own_times_add_up_to_what_the_loop_waited(url, clock):
    def scheduled(epoch, step):
        clock.move(2)
        return 1.0

    def changed(batch):
        clock.move(3)
        return batch

    chain = train(url).mixup(num_classes=1000, schedule=scheduled).map_batch(changed)
    for _ in chain:
        clock.move(7)
    stats = chain.stats()
    own = {stage.name: stage.delay_seconds / STEPS for stage in stats.stages}
    assert own == {"ShardReader": 0, "Augmenter": 0, "Mixup": 2, "MapBatch": 3}
    assert [stage.wait_seconds / STEPS for stage in stats.stages] == [0, 0, 0, 2]
    assert (stats.wait_seconds, stats.loop_seconds) == (5 * STEPS, 7 * STEPS)


def test_times_that_lie_in_others_are_no_longer_than_these(url):
    chain = train(url).mixup(num_classes=1000).map_batch(lambda batch: batch)
    list(chain)
    stats = chain.stats()
    assert 0 < sum(stage.delay_seconds for stage in stats.stages) <= stats.wait_seconds <= stats.seconds
    for before, stage in pairwise(stats.stages):
        assert stage.wait_seconds == pytest.approx(before.wait_seconds + before.work_seconds)
    assert 0 < of(stats, "Augmenter").counts["pipeline_seconds"] <= of(stats, "Augmenter").work_seconds


class Threaded(sa.Stage):
    """Runs the stages before it in a thread of its own."""

    def run(self, epoch_pass):
        queue = Queue()
        thread = threading.Thread(target=lambda: [queue.put(batch) for batch in self.source.run(epoch_pass)])
        thread.start()
        for _ in range(epoch_pass.num_batches):
            yield queue.get()
        thread.join()


class Twice(Threaded):
    """Calls the `run` of its base class."""

    def run(self, epoch_pass):
        yield from super().run(epoch_pass)


@pytest.mark.parametrize("kind", [Threaded, Twice])
def test_a_stage_of_ones_own_has_stats_whatever_its_run_does(url, kind):
    chain = plain(url).pipe(kind).map_batch(lambda batch: batch)
    assert len(list(chain)) == STEPS
    stats = chain.stats()
    assert [stage.name for stage in stats.stages] == ["ShardReader", kind.__name__, "MapBatch"]
    assert [stage.batches for stage in stats.stages] == [STEPS] * 3
    assert of(stats, kind.__name__).wait_seconds == 0  # it runs nothing in the thread that takes batches
    assert all(stage.work_seconds > 0 for stage in stats.stages)


@pytest.mark.parametrize("where", ["ask", "answer"])
def test_an_interrupt_while_time_is_taken_ends_the_pass_and_loses_no_batch(url, monkeypatch, where):
    chain = plain(url)
    stream = taken(chain, 2)

    def interrupted(meter):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(PassMeter, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert standing(chain) == (0, 2)
    with pytest.raises(sa.StreamaugError, match="ended"):
        next(stream)
    chain.load_state_dict(chain.state_dict())
    assert place(next(iter(chain))) == (0, 2)


# --- counts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(drawn, tmp_path_factory):
    """A folder with one shard of 64 samples and its index."""
    folder = tmp_path_factory.mktemp("served")
    streamaug(["index", write_shards(folder, "x", drawn[:64], [64])])
    return folder


def test_requests_bytes_and_retries_are_those_that_the_server_saw(served):
    storage = sa.StorageOptions(hedge=False)  # on a busy machine any range may be late
    with http_proxy(served) as (proxy, base):
        chain = reader(f"{base}/x-000000.tar", batch_size=16, storage=storage, read_ahead=False)
        list(chain)
        proxy.forget()
        list(chain)
        counts = of(chain.stats(), "ShardReader").counts
        assert (counts["requests"], counts["bytes"]) == (sum(proxy.requests.values()), proxy.bytes)
        assert counts["retries"] == counts["hedges"] == counts["cache_hits"] == counts["cache_misses"] == 0
        failures = []
        proxy.fault = lambda method, path, number: failures.append(503) or 503 if len(failures) < 2 else None
        list(chain)
        again = of(chain.stats(), "ShardReader").counts
        assert again["retries"] == 2
        assert again["bytes"] == counts["bytes"]


def test_blocks_of_the_cache_are_misses_once_and_then_hits(served, tmp_path_factory):
    storage = sa.StorageOptions(cache_dir=tmp_path_factory.mktemp("cache"), cache_min_free=0, hedge=False)
    with http_proxy(served) as (_, base):
        chain = reader(f"{base}/x-000000.tar", batch_size=16, storage=storage, read_ahead=False)
        list(chain)
        first = of(chain.stats(), "ShardReader").counts
        list(chain)
        second = of(chain.stats(), "ShardReader").counts
    assert first["cache_misses"] > 0
    assert (second["cache_misses"], second["bytes"], second["requests"]) == (0, 0, 0)
    assert second["cache_hits"] > 0


def test_bad_samples_and_replaced_rows_are_counted_for_each_pass(drawn, tmp_path):
    labels = [(key, b"?" if number < 3 else label, jpeg) for number, (key, label, jpeg) in enumerate(drawn[:64])]
    url = write_shards(tmp_path, "bad", labels, [64])
    chain = reader(url, batch_size=16, on_bad_sample="substitute").augment(
        recipes.imagenet_train(size=16), device="cpu", num_threads=2
    )
    replaced = sum(int(batch.origin.is_substitute.sum()) for batch in chain)
    counts = of(chain.stats(), "ShardReader").counts
    assert (counts["bad_samples"], counts["replaced_rows"]) == (3, 3) == (chain.num_bad_samples, replaced)
    list(chain)
    counts = of(chain.stats(), "ShardReader").counts
    assert (counts["bad_samples"], counts["replaced_rows"]) == (0, 3)  # they were met before


def test_levels_say_how_full_things_are_while_a_pass_runs_and_are_zero_behind_it(url):
    chain = train(url)
    stream = iter(chain)
    next(stream)
    stats = chain.stats()
    assert 0 < of(stats, "Augmenter").counts["queue_depth"] <= 2
    assert of(stats, "Augmenter").counts["prefetch_fill"] == of(stats, "Augmenter").counts["queue_depth"] / 2
    assert 0 < of(stats, "ShardReader").counts["prefetch_fill"] < 1
    assert of(stats, "Augmenter").counts["pipelines"] == 1
    list(stream)
    for stage in chain.stats().stages:
        assert stage.counts["queue_depth"] == stage.counts["prefetch_fill"] == 0


# --- what is late -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(served):
    """A chain with a function wherever there may be one."""
    with training(reader(str(served / "x-000000.tar"), batch_size=32)) as chain:
        yield chain


@pytest.mark.parametrize("part", LATE)
def test_the_part_that_is_slow_is_named(whole, clock, part):
    SLOW.part = part
    for _ in whole:
        SLOW("loop")
    assert SLOW.part is None  # it was slow
    stats = whole.stats()
    assert (stats.late, stats.seconds) == (LATE[part], SECONDS)
    assert stats.wait_seconds == (0 if part == "loop" else SECONDS)


def test_a_slow_model_is_named_in_evaluation(served, clock):
    recipe = recipes.imagenet_tta(views="hflip", size=16, resize=20)
    listed = reader(str(served / "x-000000.tar"), shuffle=False, tail="pad")
    chain = listed.augment(recipe, device="cpu", num_threads=2).tta(model)
    SLOW.part = "model"
    list(chain)
    assert chain.stats().late == "TestTimeAugment"


def test_a_throttled_server_is_named_and_so_is_why(served, clock):
    def waits_for_bytes():
        begins = chain._reader._passes._prepared.epoch_pass  # its first batch is not there yet
        blocked = begins.meter.counts_of(chain._reader).blocked()
        return blocked is not None and blocked[0].startswith("bytes ")

    def fault(method, path, number):
        """Under the proxy's lock, so that all requests wait."""
        if SLOW.part == "server":
            assert comes_true(waits_for_bytes)
            SLOW("server")

    with http_proxy(served, fault) as (_, base):
        chain = reader(f"{base}/x-000000.tar", batch_size=16).augment(
            recipes.imagenet_train(size=16), device="cpu", num_threads=2
        )
        list(chain)
        SLOW.part = "server"
        list(chain)
        stats = chain.stats()
    assert (stats.late, stats.why) == ("ShardReader", "waits for storage")
    assert (of(stats, "ShardReader").wait_seconds, of(stats, "ShardReader").work_seconds) == (SECONDS, 0)
