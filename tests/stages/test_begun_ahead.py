"""Between two passes DALI works on the first batches of the next: the same pixels, and nothing that is judged early."""

import pytest
from chains import STEPS, epoch, places, plain, standing, taken, train
from pictures import without_tables
from reading import reader, rows
from shards_on_disk import write_shards

import streamaug as sa
from streamaug import recipes
from streamaug.dali.runner import Runner
from streamaug.reader.prefetch import Prefetcher

PREFETCH = 2


@pytest.fixture(autouse=True)
def _whatever_the_disk(monkeypatch):
    """Wait for the bytes of the next pass, so that its first batches are begun on a slow machine too."""
    monkeypatch.setattr(Prefetcher, "arrived", Prefetcher.take)


@pytest.fixture
def submitted(monkeypatch):
    """Batches that were handed to DALI so far."""
    made, submit = [], Runner.submit

    def counted(self, arrays):
        made.append(self)
        submit(self, arrays)

    monkeypatch.setattr(Runner, "submit", counted)
    return made


def begun(chain):
    """Batches of the next pass that are under way."""
    return len(chain._engine._flight._begun)


def expected(url, number, start=0):
    """The rows of an epoch from a step on, of a chain that read nothing before."""
    with train(url) as chain:
        chain.seek(number, start)
        return rows(chain)


def test_no_batch_is_made_twice(url, submitted):
    with train(url) as chain:
        for number in range(4):
            assert begun(chain) == (PREFETCH if number > 1 else 0)
            assert rows(chain) == expected(url, number)
        submitted_here = [runner for runner in submitted if runner is chain._engine._flight.runner]
        assert len(submitted_here) == 4 * STEPS + PREFETCH
        chain.close()
        assert not begun(chain)


@pytest.mark.parametrize("options", [{"read_ahead": False}, {}], ids=["not read ahead", "first pass"])
def test_nothing_is_begun_that_was_not_read_ahead(url, options):
    with train(url, **options) as chain:
        for _ in range(1 if not options else 2):
            assert len(list(chain)) == STEPS
        assert not begun(chain)


MOVES = {
    "nowhere": (lambda chain, state: None, (2, 0)),
    "set_epoch": (lambda chain, state: chain.set_epoch(7), (7, 0)),
    "the epoch read last": (lambda chain, state: chain.set_epoch(1), (1, 0)),
    "seek": (lambda chain, state: chain.seek(2, 1), (2, 1)),
    "load_state_dict": (lambda chain, state: chain.load_state_dict(state | {"epoch": 1, "position": 64}), (1, 1)),
    "close": (lambda chain, state: chain.close(), (2, 0)),
    "peek": (lambda chain, state: chain.peek(), (2, 0)),
    "the reader": (lambda chain, state: (list(chain.source), chain.set_epoch(2)), (2, 0)),
}


@pytest.mark.parametrize(("move", "where"), MOVES.values(), ids=MOVES)
def test_wherever_the_next_pass_begins(url, move, where):
    with train(url) as chain:
        assert [len(list(chain)) for _ in range(2)] == [STEPS, STEPS]
        assert begun(chain) == PREFETCH
        move(chain, chain.state_dict())
        assert rows(chain) == expected(url, *where)
        assert rows(chain) == expected(url, where[0] + 1)


@pytest.mark.parametrize("count", [0, 1, 2, STEPS - 1, STEPS])
def test_wherever_the_next_pass_is_left(url, count):
    with train(url) as chain:
        assert [len(list(chain)) for _ in range(2)] == [STEPS, STEPS]
        taken(chain, count)
        state = chain.state_dict()
        chain.load_state_dict(state)
        assert rows(chain) == (expected(url, 2, count) if count < STEPS else expected(url, 3))
        assert places(chain) == epoch(3 if count < STEPS else 4)


def test_two_chains_of_one_reader(url):
    one = plain(url)
    with (
        one.augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2) as first,
        one.augment(recipes.imagenet_eval(size=16), device="cpu", num_threads=2) as second,
    ):
        made = [rows(chain) for chain in (first, first, second, first, second)]
    for number in (0, 1, 3):
        assert made[number] == expected(url, number)
    assert [set(each) for each in made] == [set(range(STEPS * 64))] * 5


FEW = [100, 90]  # of which an epoch of two steps leaves a third out, so that later epochs meet new samples
DAMAGES = {"by DALI": without_tables, "by its header": lambda jpeg: jpeg[:20]}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("bad", [3, 38])
def test_a_bad_sample_is_judged_in_its_own_pass(drawn, tmp_path, damage, bad):
    listed = [
        (key, label, damage(jpeg) if n % 5 == 2 and n < 5 * bad else jpeg)
        for n, (key, label, jpeg) in enumerate(drawn[:190])
    ]
    source = write_shards(tmp_path, "part", listed, FEW)
    recipe = recipes.imagenet_train(size=16)
    for seed in range(3):
        options = {"on_bad_sample": "substitute", "batch_size": 64, "seed": seed}
        with (
            reader(source, **options).augment(recipe, device="cpu", num_threads=2) as chain,
            reader(source, read_ahead=False, **options).augment(recipe, device="cpu", num_threads=2) as without,
        ):
            for _ in range(4):
                assert rows(chain) == rows(without)
                assert chain._reader.num_bad_samples == without._reader.num_bad_samples
        assert chain._reader.num_bad_samples


def few_shards(folder, drawn, damage=without_tables, bad=()):
    """The URL of shards whose bad samples, by key, are damaged."""
    folder.mkdir()
    few = [(key, label, damage(jpeg) if key in bad else jpeg) for key, label, jpeg in drawn[:190]]
    return write_shards(folder, "part", few, FEW)


def few_keys(folder, drawn):
    """The keys of each epoch, step by step."""
    with plain(few_shards(folder, drawn)) as one:
        return [[set(batch.origin.keys) for batch in one] for _ in range(3)]


def test_dali_refuses_a_batch_behind_which_the_next_pass_has_begun(drawn, tmp_path):
    first, second, third = few_keys(tmp_path / "sound", drawn)
    bad = second[1] - first[0] - first[1] - third[0] - third[1]
    source = few_shards(tmp_path / "bad", drawn, bad=bad)
    options = {"on_bad_sample": "substitute"}
    with train(source, **options) as chain, train(source, read_ahead=False, **options) as without:
        assert rows(chain) == rows(without)
        assert chain._engine.recoveries == 0
        assert rows(chain) == rows(without)
        assert chain._engine.recoveries == 1
        assert rows(chain) == rows(without)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_bad_sample_is_an_error_of_its_own_step(drawn, tmp_path, damage):
    keys = [each[0] | each[1] for each in few_keys(tmp_path / "sound", drawn)]
    source = few_shards(tmp_path / "bad", drawn, damage, keys[2] - keys[0] - keys[1])
    failures = []
    for options in ({}, {"read_ahead": False}):
        with train(source, **options) as chain:
            assert places(chain) == [(0, 0), (0, 1)]
            assert places(chain) == [(1, 0), (1, 1)]
            with pytest.raises(sa.BadSampleError) as error:
                list(chain)
            failures.append((str(error.value), error.value.__notes__, chain.num_bad_samples, standing(chain)))
    assert failures[0] == failures[1]
    assert failures[0][3][0] == 2


def test_a_recipe_by_epoch_is_asked_for_in_its_own_pass(url):
    asked = []

    def recipe(number):
        asked.append(number)
        return recipes.imagenet_train(size=16)

    with plain(url).augment(recipe, device="cpu", num_threads=2) as chain:
        for number in range(3):
            assert places(chain) == epoch(number)
            assert max(asked) == number


def test_functions_of_the_users_see_no_batch_of_the_next_pass(url):
    seen = []

    def noted(key, parts):
        seen.append(key)
        return parts

    with plain(url).map_samples(noted).augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2) as chain:
        for number in range(3):
            assert places(chain) == epoch(number)
            assert len(seen) == (number + 1) * STEPS * 64
