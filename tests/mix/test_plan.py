"""Plans: partners, λ and boxes are those of the design, and a function of the samples alone."""

import numpy as np
import pytest
from goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from streamaug import mix
from streamaug.batch import Origin
from streamaug.reader.schedule import Share


def origin(positions, *, lanes=16, epoch=0, step=0, seed=5):
    """Positions stand for the samples of the same number, spread out so that ids and positions differ."""
    positions = np.asarray(positions, np.int64)
    flags = np.zeros(len(positions), bool)
    keys = tuple(f"key{position}" for position in positions.tolist())
    return Origin(seed, epoch, step, lanes, positions, positions * 7 + 3, keys, flags, flags)


def draw(where, **options):
    return mix.MixPlan.draw(where, **({"height": 64, "width": 48} | options))


@pytest.mark.parametrize("start", [0, 48, 17, 101])
@pytest.mark.parametrize("lanes", [5, 8, 32, 96])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6])
def test_plans_are_the_same_on_any_number_of_ranks(world_size, lanes, start):
    everything = origin(start + np.arange(48), lanes=lanes)
    alone = draw(everything)
    np.testing.assert_array_equal(everything.positions[alone.partner], start + (np.arange(48) + 24) % 48)
    seen = []
    for rank in range(world_size):
        mine = Share(48 // world_size, rank, world_size, interleaved=True).positions(start)
        plan, rows = draw(origin(mine, lanes=lanes)), mine - start
        np.testing.assert_array_equal(mine[plan.partner], everything.positions[alone.partner[rows]])
        for name in ("lam", "boxes", "is_cutmix"):
            np.testing.assert_array_equal(getattr(plan, name), getattr(alone, name)[rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(48))


def test_in_the_listed_order_a_rank_mixes_the_halves_of_its_block():
    mine = Share(8, 1, 3, interleaved=False).positions(24)
    np.testing.assert_array_equal(mix.partners(origin(mine)), (np.arange(8) + 4) % 8)


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 41), st.integers(1, 6), st.integers(1, 19))
def test_partners_are_pairs_and_the_last_row_of_an_odd_batch_stays_alone(start, size, world_size, lanes):
    where = origin(start + world_size * np.arange(size), lanes=lanes)
    partner, half = mix.partners(where), size // 2
    expected = [*range(half, 2 * half), *range(half), *range(2 * half, size)]
    assert partner.tolist() == expected
    plan = draw(where)
    alone = partner == np.arange(size)
    assert alone.sum() == size % 2
    assert (plan.lam[alone] == 1).all()
    assert not plan.is_cutmix[alone].any()


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
    alone = draw(origin([3, 3 + 32]))
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
    smaller = np.arange(64) < 32
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
    lam = plan.lam[:30_000]
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
    moments = golden("moments")
    where = origin(np.arange(80_000))
    expected = moments["lambda_beta_0.2_0.2"]
    lam = draw(where, mixup_alpha=0.2, switch_probability=0.0).lam
    assert abs(lam.mean() - expected["mean"]) < 0.008
    assert abs(lam.var() - expected["variance"]) < 0.002
    for alpha, mean in moments["cutmix_corrected_lambda_mean_224"].items():
        plan = draw(where, cutmix_alpha=float(alpha), switch_probability=1.0, height=224, width=224)
        assert abs(plan.lam.mean() - mean) < 0.008, alpha


def test_boxes_are_those_of_the_goldens():
    for row in golden("cutmix_boxes")["rows"]:
        y1, y2, x1, x2 = map(int, mix.cutmix_box(224, 224, row["lam"], *row["center"]))
        assert [y1, y2, x1, x2] == row["box"]
        assert abs(1 - (y2 - y1) * (x2 - x1) / 224**2 - row["lam_corrected"]) < 1e-6


@pytest.mark.parametrize(("off", "cut"), [("mixup_alpha", True), ("cutmix_alpha", False)])
def test_an_alpha_of_zero_leaves_all_pairs_to_the_other_kind_as_they_would_be(off, cut):
    where = origin(np.arange(4000))
    plan = draw(where, **{off: 0.0}, probability=0.6)
    both = draw(where, probability=0.6, switch_probability=float(cut))
    assert (plan.is_cutmix == (cut & (plan.partner >= 0) & (plan.is_cutmix | (plan.lam < 1)))).all()
    for name in ("lam", "boxes", "is_cutmix"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(both, name))


def test_two_alphas_of_zero_mix_nothing():
    plan = draw(origin(np.arange(100)), mixup_alpha=0, cutmix_alpha=0)
    assert (plan.lam == 1).all()
    assert not plan.is_cutmix.any()
    assert (plan.boxes == 0).all()


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.floats(0.001, 1), st.floats(0.001, 1))
def test_minmax_boxes_lie_inside_and_have_sides_in_their_range(height, width, one, other):
    low, high = sorted((one, other))
    where = origin(np.arange(400))
    plan = draw(where, height=height, width=width, switch_probability=1.0, lam="element", cutmix_minmax=[low, high])
    y1, y2, x1, x2 = plan.boxes.T
    area = (y2 - y1) * (x2 - x1)
    np.testing.assert_array_equal(plan.lam, 1 - area / (height * width))
    whole = area > 0
    for first, last, side in ((y1, y2, height), (x1, x2, width)):
        assert (first >= 0).all()
        assert (last <= side).all()
        assert ((last - first)[whole] >= int(side * low)).all()
        assert ((last - first)[whole] <= int(side * high)).all()


def test_minmax_sides_are_uniform_and_independent_and_places_too():
    plan = draw(origin(np.arange(60_000)), switch_probability=1.0, lam="element", cutmix_minmax=(0.25, 0.75))
    y1, y2, x1, x2 = plan.boxes.T
    high, wide = y2 - y1, x2 - x1
    assert set(high.tolist()) == set(range(16, 49))
    assert set(wide.tolist()) == set(range(12, 37))
    for side in (high, wide):
        assert stats.chisquare(np.unique(side, return_counts=True)[1]).pvalue > 1e-4
    for first, room in ((y1[high == 32], 33), (x1[wide == 24], 25)):
        assert stats.chisquare(np.bincount(first, minlength=room)).pvalue > 1e-4
    columns = [high, wide, y1 / (65 - high), x1 / (49 - wide)]
    assert np.abs(np.corrcoef(columns)[np.triu_indices(4, 1)]).max() < 0.02


def test_minmax_keeps_what_is_mixed_and_mixup_as_they_are():
    plain, plan = (draw(origin(np.arange(400)), **options) for options in ({}, {"cutmix_minmax": (0.2, 0.8)}))
    np.testing.assert_array_equal(plan.is_cutmix, plain.is_cutmix)
    np.testing.assert_array_equal(plan.lam[~plan.is_cutmix], plain.lam[~plan.is_cutmix])


@pytest.mark.parametrize("options", [{"lam": "batch"}, {"lam": "element"}, {"cutmix_minmax": (0.1, 0.9)}])
def test_plans_of_every_mode_are_the_same_on_any_number_of_ranks(options):
    schedules = {"schedule": lambda epoch, step: 0.7}
    everything = origin(np.arange(48), step=2)
    alone = draw(everything, **options, **schedules)
    for world_size in (2, 4, 8):
        for rank in range(world_size):
            mine = Share(48 // world_size, rank, world_size, interleaved=True).positions(0)
            plan = draw(origin(mine, step=2), **options, **schedules)
            np.testing.assert_array_equal(mine[plan.partner], alone.partner[mine])
            for name in ("lam", "boxes", "is_cutmix"):
                np.testing.assert_array_equal(getattr(plan, name), getattr(alone, name)[mine])


@pytest.mark.parametrize("lam", ["pair", "batch", "element"])
def test_a_schedule_says_whether_a_row_is_mixed_and_never_how(lam):
    mixed = 0
    for step in range(40):
        where = origin(np.arange(40 * step, 40 * step + 40), step=step)
        always = draw(where, lam=lam, probability=0.9)
        sometimes = draw(where, lam=lam, probability=0.9, schedule=lambda epoch, step: 0.5)
        on = (sometimes.lam < 1) | sometimes.is_cutmix
        mixed += on.mean() / 40
        for name in ("lam", "boxes", "is_cutmix"):
            np.testing.assert_array_equal(getattr(sometimes, name)[on], getattr(always, name)[on])
        assert (sometimes.lam[~on] == 1).all()
    assert abs(mixed - 0.45) < (0.25 if lam == "batch" else 0.1)


def test_a_schedule_is_asked_for_the_epoch_and_the_step_of_the_batch():
    asked = []
    draw(origin(np.arange(8), epoch=3, step=7), schedule=lambda *place: asked.append(place) or 1)
    assert asked == [(3, 7)]


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
        ({"mixup_alpha": -0.1}, "mixup_alpha: must be finite and at least 0"),
        ({"mixup_alpha": "0.2"}, "mixup_alpha: must be finite and at least 0"),
        ({"cutmix_alpha": float("nan")}, "cutmix_alpha: must be finite and at least 0"),
        ({"cutmix_alpha": float("inf")}, "cutmix_alpha: must be finite and at least 0"),
        ({"cutmix_minmax": (0.0, 0.5)}, r"cutmix_minmax: must be \(low, high\) with 0 < low"),
        ({"cutmix_minmax": (0.8, 0.2)}, "cutmix_minmax: must be"),
        ({"cutmix_minmax": (0.2, 1.5)}, "cutmix_minmax: must be"),
        ({"cutmix_minmax": (0.2, 0.5, 0.7)}, "cutmix_minmax: must be"),
        ({"cutmix_minmax": ("a", "b")}, "cutmix_minmax: must be"),
        ({"cutmix_minmax": 0.5}, "cutmix_minmax: must be"),
        ({"cutmix_minmax": (0.2, 0.5), "cutmix_alpha": 0}, "cutmix_alpha: must be above 0 with cutmix_minmax"),
        ({"schedule": 0.5}, "schedule: must be a function"),
        ({"schedule": lambda epoch, step: 2.0}, "schedule: must return a number in 0..1, got 2.0 for epoch 0, step 0"),
        ({"probability": 1.1}, "probability: must lie in 0..1"),
        ({"switch_probability": -0.1}, "switch_probability: must lie in 0..1"),
        ({"lam": "sample"}, "lam: must be one of pair, batch, element"),
    ],
)
def test_wrong_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        draw(origin(np.arange(16)), **options)
