"""Philox: known answers, and numbers that depend on their coordinates alone."""

import numpy as np
import pytest
from goldens import golden
from hypothesis import given
from hypothesis import strategies as st

from streamaug import random


def words(texts):
    return np.array([int(word, 16) for word in texts], np.uint32)


KNOWN = [[words(case[name]) for name in ("counter", "key", "output")] for case in golden("philox")["cases"]]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_known_answers(counter, key, output):
    assert random.philox4x32(counter, key).tolist() == output.tolist()


def test_many_counters_at_once_are_the_same_as_one_by_one():
    counters = np.stack([counter for counter, _, _ in KNOWN])
    together = random.philox4x32(counters, KNOWN[2][1])
    for row, counter in zip(together, counters, strict=True):
        assert row.tolist() == random.philox4x32(counter, KNOWN[2][1]).tolist()


def test_uniform_is_made_of_philox_words_as_documented():
    sample = 2**33 + 5
    block = [random.philox4x32([index, 5, 2, 9], [3, 2]).astype(np.uint64) for index in range(2)]
    stream = np.concatenate(block)
    expected = [((int(stream[2 * i]) >> 5) * 2**26 + (int(stream[2 * i + 1]) >> 6)) / 2**53 for i in range(3)]
    assert random.uniform(3, 2, np.array([sample]), stream=9, n=3)[0].tolist() == expected


def test_uniform_gives_the_golden_numbers():
    values = golden("uniform")
    assert random.uniform(3, 2, np.array(values["sample_ids"]), stream=9, n=3).tolist() == values["values"]


@given(
    seed=st.integers(-(2**40), 2**40),
    epoch=st.integers(0, 2**33),
    ids=st.lists(st.integers(0, 2**62), min_size=1, max_size=8),
    n=st.integers(0, 9),
)
def test_a_row_depends_on_its_own_coordinates_and_a_shorter_draw_is_a_prefix(seed, epoch, ids, n):
    together = random.uniform(seed, epoch, np.array(ids), stream=7, n=n)
    assert together.shape == (len(ids), n)
    assert ((together >= 0) & (together < 1)).all()
    longer = random.uniform(seed, epoch, np.array(ids), stream=7, n=n + 3)
    assert (longer[:, :n] == together).all()
    for row, sample in zip(together, ids, strict=True):
        assert (random.uniform(seed, epoch, np.array([sample]), stream=7, n=n)[0] == row).all()


def test_streams_are_all_different_numbers():
    values = [int(stream) for stream in random.Stream]
    assert len(set(values)) == len(values)
    draws = [random.uniform(0, 0, np.arange(4), stream=value, n=4) for value in values]
    assert all((a != b).all() for i, a in enumerate(draws) for b in draws[:i])


@pytest.mark.parametrize(("counter", "key"), [((1, 2, 3), (0, 0)), ((1, 2, 3, 4), (0,))])
def test_wrong_shapes_are_refused(counter, key):
    with pytest.raises(ValueError, match="4 words"):
        random.philox4x32(counter, key)
