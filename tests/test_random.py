"""Philox: known answers, and numbers that depend on their coordinates alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamaug import random

# Random123 1.14, kat_vectors, philox4x32-10
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_known_answers(counter, key, output):
    assert random.philox4x32(words(counter), words(key)).tolist() == words(output).tolist()


def test_many_counters_at_once_are_the_same_as_one_by_one():
    counters = np.stack([words(counter) for counter, _, _ in KNOWN])
    together = random.philox4x32(counters, words(KNOWN[2][1]))
    for row, counter in zip(together, counters, strict=True):
        assert row.tolist() == random.philox4x32(counter, words(KNOWN[2][1])).tolist()


def test_uniform_is_made_of_philox_words_as_documented():
    sample = 2**33 + 5
    block = [random.philox4x32([index, 5, 2, 9], [3, 2]).astype(np.uint64) for index in range(2)]
    stream = np.concatenate(block)
    expected = [((int(stream[2 * i]) >> 5) * 2**26 + (int(stream[2 * i + 1]) >> 6)) / 2**53 for i in range(3)]
    assert random.uniform(3, 2, np.array([sample]), stream=9, n=3)[0].tolist() == expected


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
