"""The dataset that most tests of stages read."""

import pytest


@pytest.fixture
def url(uneven):
    """The drawn samples in seven uneven shards, of 6 steps of 64 rows (`chains`)."""
    return uneven[0]
