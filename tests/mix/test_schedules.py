"""Schedules: what they say of each epoch, that they travel, and what is refused."""

import pickle

import numpy as np
import pytest

from streamaug import mix


def test_off_from_is_a_step_and_ramp_a_line_in_whole_epochs():
    assert [mix.off_from(3)(epoch, 7) for epoch in range(5)] == [1, 1, 1, 0, 0]
    assert [mix.off_from(0)(epoch, 0) for epoch in range(2)] == [0, 0]
    assert [mix.ramp(2, 6)(epoch, 7) for epoch in range(8)] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert [mix.ramp(0, 1)(epoch, 7) for epoch in range(3)] == [0, 1, 1]
    assert mix.ramp(np.int64(0), 2)(1, 0) == 0.5


@pytest.mark.parametrize("schedule", [mix.off_from(3), mix.ramp(2, 6)], ids=repr)
def test_schedules_travel_and_are_compared_and_shown(schedule):
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert [again(epoch, 0) for epoch in range(8)] == [schedule(epoch, 0) for epoch in range(8)]
    assert eval(repr(schedule), {"off_from": mix.off_from, "ramp": mix.ramp}) == schedule


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mix.ramp(6, 2), "ramp.stop_epoch: must lie above start_epoch 6, got 2"),
        (lambda: mix.ramp(2, 2), "ramp.stop_epoch"),
        (lambda: mix.ramp(-1, 2), "ramp.start_epoch: must be an integer of at least 0"),
        (lambda: mix.ramp(0, 2.5), "ramp.stop_epoch: must be an integer"),
        (lambda: mix.off_from(-1), "off_from.epoch: must be an integer of at least 0"),
        (lambda: mix.off_from(None), "off_from.epoch: must be an integer"),
    ],
)
def test_impossible_schedules_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
