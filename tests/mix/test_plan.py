"""Plans: partners, λ and boxes are those of the design, and a function of the samples alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from streamaug import mix
from streamaug.batch import Origin

LANES = 16
GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens"


def origin(positions, *, lanes=LANES, epoch=0, step=0, seed=5):
    """Positions stand for the samples of the same number, spread out so that ids and positions differ."""
    positions = np.asarray(positions, np.int64)
    flags = np.zeros(len(positions), bool)
    keys = tuple(f"key{position}" for position in positions.tolist())
    return Origin(seed, epoch, step, lanes, positions, positions * 7 + 3, keys, flags, flags)


def draw(where, **options):
    return mix.MixPlan.draw(where, **({"height": 64, "width": 48} | options))


def test_partners_lie_in_the_opposite_lane_of_the_same_slot():
    positions = np.arange(32, 96)
    partner, elastic = mix.partners(origin(positions))
    assert elastic
    lane = positions % LANES
    np.testing.assert_array_equal(positions[partner] % LANES, (lane + LANES // 2) % LANES)
    np.testing.assert_array_equal(positions[partner] // LANES, positions // LANES)


@pytest.mark.parametrize(("lanes", "world_size"), [(16, 1), (16, 2), (16, 4), (16, 8), (12, 3), (12, 6), (2, 1)])
def test_partners_and_numbers_are_the_same_on_any_number_of_ranks(lanes, world_size):
    positions = np.arange(4 * lanes, 8 * lanes)
    alone = draw(origin(positions, lanes=lanes))
    for rank in range(world_size):
        mine = positions[positions % world_size == rank]
        plan = draw(origin(mine, lanes=lanes))
        rows = np.flatnonzero(positions % world_size == rank)
        np.testing.assert_array_equal(mine[plan.partner], positions[alone.partner[rows]])
        for name in ("lam", "boxes", "is_cutmix"):
            np.testing.assert_array_equal(getattr(plan, name), getattr(alone, name)[rows])


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 41), st.integers(1, 19))
def test_partners_are_pairs_whatever_the_batch(start, size, lanes):
    where = origin(np.arange(start, start + size), lanes=lanes)
    partner, elastic = mix.partners(where)
    np.testing.assert_array_equal(partner[partner], np.arange(size))
    if elastic:
        assert lanes % 2 == 0
        assert (np.abs(where.positions[partner] - where.positions) == lanes // 2).all()
    else:
        expected = [i ^ 1 if i ^ 1 < size else i for i in range(size)]
        np.testing.assert_array_equal(partner, expected)
    plan = draw(where)
    alone = partner == np.arange(size)
    assert (plan.lam[alone] == 1).all()
    assert not plan.is_cutmix[alone].any()


@pytest.mark.parametrize("shift", [1, 3, 8, 15])
def test_a_batch_that_starts_between_slots_pairs_neighbours(shift):
    partner, elastic = mix.partners(origin(np.arange(shift, shift + 32)))
    assert not elastic
    np.testing.assert_array_equal(partner, np.arange(32) ^ 1)


def test_rows_of_a_batch_may_come_in_any_order():
    positions = np.arange(32)
    shuffle = np.random.default_rng(0).permutation(32)
    plain, shuffled = draw(origin(positions)), draw(origin(positions[shuffle]))
    np.testing.assert_array_equal(shuffled.lam, plain.lam[shuffle])
    np.testing.assert_array_equal(positions[shuffle][shuffled.partner], positions[plain.partner[shuffle]])


def test_a_pair_shares_its_numbers_and_depends_on_no_other_sample():
    plan = draw(origin(np.arange(64)))
    for name in ("lam", "boxes", "is_cutmix"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(plan, name)[plan.partner])
    alone = draw(origin([3, 3 + LANES // 2]))
    assert alone.lam[0] == plan.lam[3]
    np.testing.assert_array_equal(alone.boxes[0], plan.boxes[3])


def test_numbers_change_with_seed_and_epoch_and_not_otherwise():
    base = draw(origin(np.arange(64)))
    np.testing.assert_array_equal(draw(origin(np.arange(64), step=9)).lam, base.lam)
    for other in (origin(np.arange(64), seed=6), origin(np.arange(64), epoch=1)):
        assert (draw(other).lam != base.lam).mean() > 0.9


def test_lam_of_an_element_and_of_a_batch():
    element = draw(origin(np.arange(64)), lam="element", switch_probability=0.0)
    assert len(set(element.lam.tolist())) > 60
    smaller = np.arange(64) % LANES < LANES // 2
    pair = draw(origin(np.arange(64)), switch_probability=0.0)
    np.testing.assert_array_equal(element.lam[smaller], pair.lam[smaller])
    batch = draw(origin(np.arange(64), step=4), lam="batch")
    assert len(set(batch.lam.tolist())) == 1
    rank = draw(origin(np.arange(1, 64, 2), step=4), lam="batch")
    assert rank.lam[0] == batch.lam[0]
    assert draw(origin(np.arange(64), step=5), lam="batch").lam[0] != batch.lam[0]


def test_the_chances_are_kept_per_pair():
    plan = draw(origin(np.arange(40_000)), probability=0.7, switch_probability=0.3)
    mixed = plan.lam < 1
    assert abs(mixed.mean() - 0.7) < 0.02
    assert abs(plan.is_cutmix.mean() - 0.7 * 0.3) < 0.02
    unmixed = ~mixed & ~plan.is_cutmix
    assert (plan.boxes[unmixed] == 0).all()
    assert (plan.partner[unmixed] != np.arange(40_000)[unmixed]).all()
    assert (plan.boxes[~plan.is_cutmix] == 0).all()


def test_cutmix_pays_for_the_box_it_pastes():
    plan = draw(origin(np.arange(4000)), switch_probability=1.0, height=31, width=57)
    y1, y2, x1, x2 = plan.boxes.T
    np.testing.assert_allclose(plan.lam, 1 - (y2 - y1) * (x2 - x1) / (31 * 57), atol=1e-12)
    assert (y1 >= 0).all()
    assert (x1 >= 0).all()
    assert y2.max() == 31
    assert x2.max() == 57


def test_lam_follows_its_beta_distribution():
    plan = draw(origin(np.arange(60_000)), mixup_alpha=0.2, switch_probability=0.0)
    lam = plan.lam[np.arange(60_000) % LANES < LANES // 2]
    # Values round to 0 and 1 in the far tails: compare on (1e-5, 1-1e-5), with the conditional distribution.
    inside = lam[(lam > 1e-5) & (lam < 1 - 1e-5)]
    low, high = stats.beta.cdf([1e-5, 1 - 1e-5], 0.2, 0.2)
    assert stats.kstest(inside, lambda x: (stats.beta.cdf(x, 0.2, 0.2) - low) / (high - low)).pvalue > 0.001
    assert abs(len(inside) / len(lam) - (high - low)) < 0.01


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2, 0.4, 1.0, 2.0, 50.0])
def test_beta_inverts_its_distribution_function(alpha):
    numbers = np.random.default_rng(1).random(2000)
    lam = mix.beta(alpha, numbers)
    assert lam.dtype == np.float64
    assert ((lam >= 0) & (lam <= 1)).all()
    within = (lam > 1e-12) & (lam < 1 - 1e-7)
    assert within.any()
    np.testing.assert_allclose(stats.beta.cdf(lam, alpha, alpha)[within], numbers[within], atol=1e-6)
    np.testing.assert_array_equal(np.argsort(lam[within]), np.argsort(numbers[within]))


def test_moments_are_those_of_the_goldens():
    if not GOLDENS.exists():
        pytest.skip(f"the golden values are not at {GOLDENS.name}")
    moments = json.loads((GOLDENS / "moments.json").read_text())
    where = origin(np.arange(80_000))
    expected = moments["lambda_beta_0.2_0.2"]
    lam = draw(where, mixup_alpha=0.2, switch_probability=0.0).lam
    assert abs(lam.mean() - expected["mean"]) < 0.008
    assert abs(lam.var() - expected["variance"]) < 0.002
    for alpha, mean in moments["cutmix_corrected_lambda_mean_224"].items():
        plan = draw(where, cutmix_alpha=float(alpha), switch_probability=1.0, height=224, width=224)
        assert abs(plan.lam.mean() - mean) < 0.008, alpha


def test_boxes_are_those_of_the_goldens():
    if not GOLDENS.exists():
        pytest.skip(f"the golden values are not at {GOLDENS.name}")
    for row in json.loads((GOLDENS / "cutmix_boxes.json").read_text())["rows"]:
        y1, y2, x1, x2 = map(int, mix.cutmix_box(224, 224, row["lam"], *row["center"]))
        assert [y1, y2, x1, x2] == row["box"]
        assert abs(1 - (y2 - y1) * (x2 - x1) / 224**2 - row["lam_corrected"]) < 1e-6


@settings(deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1),
)
def test_boxes_of_arrays_are_those_of_numbers_and_lie_inside(height, width, rows):
    lam, v, u = (np.array(column) for column in zip(*rows, strict=True))
    y, x = (v * height).astype(int), (u * width).astype(int)
    boxes = np.stack(mix.cutmix_box(height, width, lam, y, x), 1)
    for box, share, cy, cx in zip(boxes, lam, y, x, strict=True):
        half_height, half_width = (int(side * np.sqrt(1 - share)) // 2 for side in (height, width))
        y1, y2 = max(cy - half_height, 0), min(cy + half_height, height)
        x1, x2 = max(cx - half_width, 0), min(cx + half_width, width)
        assert box.tolist() == [y1, y2, x1, x2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup_alpha": 0.0}, "mixup_alpha: must be positive"),
        ({"cutmix_alpha": float("nan")}, "cutmix_alpha: must be positive"),
        ({"cutmix_alpha": float("inf")}, "cutmix_alpha: must be positive"),
        ({"probability": 1.1}, "probability: must lie in 0..1"),
        ({"switch_probability": -0.1}, "switch_probability: must lie in 0..1"),
        ({"lam": "sample"}, "lam: must be one of pair, batch, element"),
    ],
)
def test_wrong_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        draw(origin(np.arange(16)), **options)
