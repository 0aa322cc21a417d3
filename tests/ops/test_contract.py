"""What an operation must implement, and what it may leave out."""

import numpy as np
import pytest

from streamaug import ops


@pytest.mark.parametrize(
    ("base", "methods"),
    [
        (ops.Geometric, ["matrix"]),
        (ops.Photometric, ["build", "parameters"]),
        (ops.Policy, ["choose", "steps"]),
    ],
)
def test_an_operation_without_its_methods_cannot_be_made(base, methods):
    mine = type("Mine", (base,), {})
    with pytest.raises(TypeError) as refusal:
        mine()
    assert [method for method in methods if method not in str(refusal.value)] == []


def test_an_operation_needs_no_more_than_its_abstract_methods():
    class Mine(ops.Geometric):
        def matrix(self, draws, height, width):
            return self.unselected(height, width)

    mine = Mine()
    assert (mine.probability, mine.draws, mine.shows(), mine.static_frame(None)) == (1.0, 0, None, None)
    assert mine.matrix(np.zeros((2, 0)), np.full(2, 3.0), np.full(2, 4.0)).shape == (2, 3, 3)
