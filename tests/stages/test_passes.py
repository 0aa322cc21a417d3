"""Passes: when one begins and ends, what stages and functions may do in it, and where an error says it happened."""

import itertools
from functools import partial

import pytest
from chains import STEPS, epoch, place, places, plain, standing, taken
from reading import reader

import streamaug as sa
from streamaug import recipes


def failing(batch, *, step):
    if batch.origin.step == step:
        raise LookupError("a batch that nobody likes")
    return batch


class Changing(sa.Stage):
    """A stage of one's own whose `run` is a function of the batches of a pass."""

    def __init__(self, source, change):
        super().__init__(source)
        self.change = change

    def run(self, epoch_pass):
        return self.change(self.source.run(epoch_pass))


# --- when a pass begins -----------------------------------------------------------------------


def test_iter_len_and_a_look_use_up_nothing(url):
    chain = plain(url)
    held = [iter(chain), iter(chain)]
    chain.peek()
    assert chain
    assert (len(chain), chain.epoch, standing(chain)) == (STEPS, 0, (0, 0))
    assert places(held[1]) == epoch(0)
    assert places(held[0]) == epoch(1)


def test_a_first_batch_that_fails_begins_no_pass(url):
    failures = iter([True, False])

    def once(batch):
        if next(failures, False):
            raise LookupError("not yet")
        return batch

    chain = plain(url).map_batch(once)
    stream = iter(chain)
    with pytest.raises(LookupError):
        next(stream)
    assert (chain.epoch, standing(chain)) == (0, (0, 0))
    assert places(stream) == epoch(0)


def test_a_pass_that_fails_later_has_ended_and_says_so(url):
    chain = plain(url).map_batch(partial(failing, step=3))
    stream = iter(chain)
    with pytest.raises(LookupError):
        list(stream)
    with pytest.raises(sa.StreamaugError, match="by an error"):
        next(stream)
    assert standing(chain) == (0, 3)


def test_what_is_left_of_an_epoch_may_be_nothing(url):
    source = reader(url, batch_size=32)
    taken(source, 11)
    chain = plain(url)
    chain.load_state_dict(source.state_dict())  # 32 positions are left, and a batch has 64
    assert places(iter(chain)) == []
    assert places(chain) == epoch(1)
    chain.load_state_dict(source.state_dict())
    assert place(chain.peek()) == (1, 0)
    assert places(chain) == epoch(1)


def test_a_look_passes_from_one_stage_to_another(url):
    head = plain(url)
    chain = head.map_batch(lambda batch: batch)
    assert isinstance(head.peek(), sa.EncodedBatch)
    assert place(chain.peek()) == (0, 0)
    stream = taken(chain, 2)
    with pytest.raises(sa.StreamaugError, match="MapBatch"):
        head.peek()
    assert places(stream) == epoch(0, 2)


def test_seek_that_is_refused_changes_nothing(url):
    chain = plain(url)
    taken(chain, 2)
    before = chain.state_dict()
    for where in ((0, STEPS), (0, -1), (-1, 0), (0, True), (0, 1.5)):
        with pytest.raises(ValueError, match="seek"):
            chain.seek(*where)
    assert chain.state_dict() == before


# --- stages that do not keep the rule ---------------------------------------------------------


def test_a_stage_that_gives_less_is_an_error(url):
    chain = plain(url).pipe(Changing, lambda batches: (batch for batch in batches if batch.origin.step != 2))
    with pytest.raises(sa.StreamaugError, match="gave less"):
        list(chain)


def test_a_stage_that_gives_more_is_an_error(url):
    chain = plain(url).pipe(Changing, lambda batches: itertools.chain(batches, ["more"]))
    with pytest.raises(sa.StreamaugError, match="got more than 6"):
        list(chain)


def test_run_may_return_any_iterator_but_must_return_one(url):
    for change in (list, iter, partial(map, lambda batch: batch)):
        assert places(plain(url).pipe(Changing, change)) == epoch(0)
    with pytest.raises(TypeError, match=r"Changing\.run: must return an iterator"):
        next(iter(plain(url).pipe(Changing, lambda _: None)))


# --- functions that reach back into their chain -----------------------------------------------


def test_set_epoch_within_a_function_ends_the_pass(url):
    holder = []
    chain = plain(url).map_batch(lambda batch: holder[0].set_epoch(3) or batch)
    holder.append(chain)
    with pytest.raises(sa.StreamaugError, match="set_epoch"):
        next(iter(chain))
    assert chain.epoch == 3


@pytest.mark.parametrize("reach", [lambda chain: next(iter(chain)), lambda chain: chain.peek()], ids=["next", "peek"])
def test_iterating_within_a_function_is_an_error(url, reach):
    holder = []
    chain = plain(url).map_batch(lambda batch: reach(holder[0]))
    holder.append(chain)
    with pytest.raises(sa.StreamaugError, match="a function that it calls itself"):
        next(iter(chain))
    other = plain(url).map_batch(lambda batch: reach(chain._source))
    assert place(next(iter(other))) == (0, 0)


# --- where an error happened ------------------------------------------------------------------


def notes(chain):
    with pytest.raises(LookupError) as caught:
        list(chain)
    return " ".join(caught.value.__notes__)


def test_an_error_of_a_function_names_stage_epoch_step_and_samples(url):
    chain = plain(url)
    chain.set_epoch(2)
    keys = list(chain)[3].origin.keys
    chain = plain(url).map_batch(partial(failing, step=3)).map_batch(lambda batch: batch)
    chain.set_epoch(2)
    said = notes(chain)
    assert "MapBatch failed at epoch 2, step 3" in said
    assert all(key in said for key in keys[:8])
    assert "and 56 more" in said


def test_an_error_of_an_earlier_stage_is_noted_where_the_chain_reads_ahead(url):
    wanted = list(plain(url))[2].origin.keys[50]

    def no_such(key, extras):
        if key == wanted:
            raise LookupError("no label for it")
        return extras

    chain = plain(url).map_samples(no_such).augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2)
    said = notes(chain.mixup(num_classes=1000))
    assert "MapSamples failed at epoch 0, step 2" in said
    assert f"given the sample '{wanted}'" in said


def test_an_error_of_a_stage_of_ones_own_names_it(url):
    def doomed(batches):
        for batch in batches:
            yield failing(batch, step=1)

    chain = plain(url).pipe(Doomed).map_batch(lambda batch: batch)
    assert "Doomed failed at epoch 0, step 1" in notes(chain)


class Doomed(sa.Stage):
    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield failing(batch, step=1)
