"""What every order and every ordering promises, whichever it is; a new one needs a row in tests/orders.py."""

import pickle

import numpy as np
import pytest
from orders import ORDERINGS, ORDERS, classes, of_package, whole

from streamaug.order import Order, Ordering, OrderOptions, SampleOrder


@pytest.mark.parametrize("base", [Order, Ordering])
def test_every_order_of_the_package_is_tested(base):
    assert of_package(base)
    assert of_package(base) == classes(base)


@pytest.fixture(params=ORDERS)
def order(request):
    return ORDERS[request.param]


def test_samples_are_those_of_the_dataset(order):
    ids = whole(order, 2)
    assert ids.dtype == np.int64
    assert 0 <= ids.min() <= ids.max() < order.num_samples


def test_positions_can_be_asked_in_any_number_and_sequence(order):
    ids = whole(order, 5)
    picks = np.random.default_rng(0).permutation(len(ids))[:70]
    np.testing.assert_array_equal(order.sample_ids(5, picks), ids[picks])
    assert order.sample_ids(5, picks[:0]).tolist() == []


def test_epochs_differ_where_the_order_is_shuffled(order):
    changed = (whole(order, 0) != whole(order, 1)).mean()
    assert changed > 0.5 if order.shuffle else changed == 0


@pytest.mark.parametrize("name", [name for name, order in ORDERS.items() if order.shuffle])
def test_lane_runs_give_the_samples_of_their_slots(name):
    order = ORDERS[name]  # an unshuffled one is read in blocks of positions, without lanes
    ids, slots_of_lane = whole(order, 3), order.num_positions // order.lanes
    for lane in range(order.lanes):
        runs = list(order.lane_runs(3, lane, 2, slots_of_lane))
        firsts = [int(slots[0]) for slots, _ in runs]
        assert firsts == sorted(firsts)
        slots, samples = (np.concatenate(column) for column in zip(*runs, strict=True))
        assert sorted(slots.tolist()) == list(range(2, slots_of_lane))
        np.testing.assert_array_equal(samples, ids[slots * order.lanes + lane])


@pytest.mark.parametrize("name", [name for name, order in ORDERS.items() if order.shuffle])
@pytest.mark.parametrize("lanes", [slice(None), slice(1, None, 3)])
@pytest.mark.parametrize("start", [0, 37])
@pytest.mark.parametrize("at_once", [1, 8192])
def test_runs_of_many_lanes_are_those_of_each_lane_by_first_position(name, lanes, start, at_once, monkeypatch):
    monkeypatch.setattr("streamaug.order.shuffled._SAMPLES_AT_ONCE", at_once)
    order, lanes = ORDERS[name], range(ORDERS[name].lanes)[lanes]
    stop = order.num_positions - 11
    runs = list(order.runs(3, lanes, start, stop))
    firsts = [int(positions[0]) for positions, _ in runs]
    assert firsts == sorted(firsts)
    for lane in lanes:
        mine = [(positions.tolist(), ids.tolist()) for positions, ids in runs if positions[0] % order.lanes == lane]
        slots = range(-((lane - start) // order.lanes), -((lane - stop) // order.lanes))
        alone = order.lane_runs(3, lane, slots.start, slots.stop)
        assert mine == [((slots * order.lanes + lane).tolist(), ids.tolist()) for slots, ids in alone]
        positions = [position for positions, _ in mine for position in positions]
        assert sorted(positions) == [slot * order.lanes + lane for slot in slots]


def test_runs_go_on_past_the_end_of_an_order_that_fills_up():
    order = SampleOrder([50, 23], lanes=8, window=48, tail="pad")
    runs = list(order.runs(1, range(8), 60, 150))
    positions, ids = (np.concatenate(column) for column in zip(*runs, strict=True))
    assert sorted(positions.tolist()) == list(range(60, 150))
    np.testing.assert_array_equal(ids, order.sample_ids(1, positions))


def test_a_sample_is_in_its_run_its_run_in_its_neighbourhood_and_that_in_its_dataset(order):
    ids = whole(order, 2)
    for position in range(0, order.num_positions, 7):
        run, around = order.run_samples(2, position).tolist(), order.neighbourhood(2, position).tolist()
        assert ids[position] in run
        assert set(run) <= set(around) <= set(order.dataset_range(2, position)) <= set(range(order.num_samples))
        assert len(set(around)) == len(around)


def test_no_position_of_an_order_that_drops_its_tail_is_padding(order):
    assert not order.is_padding(0, np.arange(order.num_positions)).any()


@pytest.mark.parametrize("call", ["sample_ids", "is_padding"])
@pytest.mark.parametrize("position", [-1, 10**6])
def test_positions_outside_are_an_index_error(order, call, position):
    with pytest.raises(IndexError, match=rf"positions: must lie in 0\.\.{order.num_positions - 1}"):
        getattr(order, call)(0, np.array([position]))


def test_the_parameters_are_what_a_state_is_compared_with(order):
    assert order.parameters == {
        "lanes": order.lanes,
        "window": order.window,
        "shuffle": order.shuffle,
        "tail": order.tail,
        **({"sticky_lanes": True} if order.sticky_lanes else {}),
        **({"repeats": order.repeats} if order.repeats > 1 else {}),
    }


@pytest.fixture(params=ORDERINGS)
def ordering(request):
    return ORDERINGS[request.param]


def test_padding_of_any_ordering_begins_where_its_positions_end(ordering):
    made, sizes = ordering
    order = made.order(sizes, OrderOptions(lanes=8, tail="pad"))
    beyond = np.arange(order.num_positions, order.num_positions + 40)
    assert order.is_padding(0, beyond).all()
    assert set(order.sample_ids(0, beyond).tolist()) <= set(range(order.num_samples))


def test_an_ordering_takes_the_options_of_the_reader(ordering):
    made, sizes = ordering
    order = made.order(sizes, OrderOptions(seed=9, lanes=4, window=64, tail="pad"))
    assert (order.seed, order.lanes, order.window, order.tail) == (9, 4, 64, "pad")
    assert order.num_samples == sizes.sum()
    assert made.order(sizes, OrderOptions(lanes=4)).window == 4 * 256


def test_an_ordering_in_another_process_makes_the_same_order(ordering):
    made, sizes = ordering
    options = OrderOptions(seed=1, lanes=8)
    copy = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(whole(copy.order(sizes, options), 1), whole(made.order(sizes, options), 1))
    assert copy.fingerprint("x") == made.fingerprint("x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "seed: must be an integer, got None"),
        ({"seed": 1.5}, "seed: must be an integer, got 1.5"),
        ({"lanes": 7.5}, "lanes: must be an integer, got 7.5"),
        ({"lanes": True}, "lanes: must be an integer, got True"),
        ({"lanes": 0}, "lanes: must be at least 1, got 0"),
        ({"window": 0}, "window: must be at least 1 sample, got 0"),
        ({"window": "10"}, "window: must be an integer, got '10'"),
        ({"shuffle": None}, "shuffle: must be True or False, got None"),
        ({"sticky_lanes": 1}, "sticky_lanes: must be True or False, got 1"),
        ({"tail": "wrap"}, 'tail: must be "drop" or "pad", got \'wrap\''),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        OrderOptions(**options)
    assert str(caught.value).startswith(message)


def test_integers_of_numpy_are_integers():
    options = OrderOptions(seed=np.int64(3), lanes=np.int32(8), window=np.uint8(64))
    assert (options.seed, options.lanes, options.window) == (3, 8, 64)
    assert all(type(value) is int for value in (options.seed, options.lanes, options.window))


def test_an_order_that_lacks_a_part_cannot_be_made():
    class Half(Order):
        def sample_ids(self, epoch, positions):
            return positions

    with pytest.raises(TypeError, match=r"abstract.*lane_runs"):
        Half(OrderOptions(), num_samples=1, num_positions=1)
    with pytest.raises(TypeError, match="abstract"):
        Ordering()
