"""The pattern of a mixture: labels in the order of random keys."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamaug.order.pattern import by_key


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 1500), st.integers(0, 300))))
def test_labels_are_sorted_by_key_as_by_a_stable_sort(pairs):
    keys = np.array([key for key, _ in pairs], np.uint64)
    labels = np.array([label for _, label in pairs], np.uint16)
    np.testing.assert_array_equal(by_key(keys, labels), labels[np.argsort(keys, kind="stable")])
