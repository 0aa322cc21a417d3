"""Mixed targets, of class numbers and of tables."""

import numpy as np
import pytest
import torch
from copies import Copies
from goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st

from streamaug import mix


@settings(deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 8), st.sampled_from((0.0, 0.1, 1.0)))
def test_soft_targets_are_the_formula_and_keep_their_mass(data, size, classes, smoothing):
    integers = st.integers(0, classes - 1)
    targets = np.array(data.draw(st.lists(integers, min_size=size, max_size=size)))
    partner = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=size, max_size=size)))
    lam = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    smooth = np.eye(classes)[targets] * (1 - smoothing) + smoothing / classes
    expected = lam[:, None] * smooth + (1 - lam[:, None]) * smooth[partner]
    soft = mix.mix_targets(targets, partner, lam, num_classes=classes, label_smoothing=smoothing)
    assert isinstance(soft, np.ndarray)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, expected, atol=1e-6)
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-5)
    tensor = mix.mix_targets(
        torch.from_numpy(targets), partner, torch.from_numpy(lam), num_classes=classes, label_smoothing=smoothing
    )
    np.testing.assert_array_equal(tensor.numpy(), soft)


KINDS = ("soft", "multi-hot", "binary")


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS), st.integers(1, 9), st.integers(1, 8), st.sampled_from((0.0, 0.1, 1.0)), st.integers(0, 999)
)
def test_tables_are_smoothed_and_then_mixed_and_keep_their_sum(kind, size, classes, smoothing, seed):
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(classes), size) if kind == "soft" else (rng.random((size, classes)) < 0.3) * 1.0
    partner, lam = rng.integers(0, size, size), rng.beta(0.2, 0.2, size)
    if kind == "binary":
        table, classes = table[:, 0], 1
    smooth = table * (1 - smoothing) + smoothing / (2 if kind == "binary" else classes)
    share = lam if kind == "binary" else lam[:, None]
    expected = share * smooth + (1 - share) * smooth[partner]
    options = {"num_classes": classes, "label_smoothing": smoothing}
    for given_as in (table, table.astype(np.float32), torch.from_numpy(table), torch.from_numpy(table).half()):
        mixed = mix.mix_targets(given_as, partner, lam, **options)
        assert type(mixed) is type(given_as)
        assert str(mixed.dtype).endswith("float32")
        close = 1e-3 if given_as.dtype == torch.float16 else 1e-6
        np.testing.assert_allclose(np.asarray(mixed), expected, atol=close)


def test_a_binary_target_is_the_second_of_two_classes():
    rng = np.random.default_rng(2)
    classes, partner, lam = rng.integers(0, 2, 50), rng.permutation(50), rng.random(50)
    for smoothing in (0.0, 0.2):
        two = mix.mix_targets(classes, partner, lam, num_classes=2, label_smoothing=smoothing)
        one = mix.mix_targets(classes.astype(np.float32), partner, lam, num_classes=1, label_smoothing=smoothing)
        np.testing.assert_allclose(one, two[:, 1], atol=1e-6)


def test_one_hot_tables_are_mixed_as_their_class_numbers():
    rng = np.random.default_rng(3)
    classes, partner, lam = rng.integers(0, 7, 50), rng.permutation(50), rng.random(50)
    options = {"num_classes": 7, "label_smoothing": 0.1}
    numbers, tables = (mix.mix_targets(each, partner, lam, **options) for each in (classes, np.eye(7)[classes]))
    np.testing.assert_allclose(tables, numbers, atol=1e-6)


@pytest.mark.parametrize("row", golden("timm_mixup")["rows"], ids=lambda row: f"{row['mode']}-{row['label_smoothing']}")
def test_targets_are_those_of_timm(row):
    labels = torch.tensor(golden("timm_mixup")["labels"])
    partner, options = np.arange(8)[::-1].copy(), {"num_classes": 10, "label_smoothing": row["label_smoothing"]}
    mixed = mix.mix_targets(labels, partner, np.array(row["lam"]), **options)
    torch.testing.assert_close(mixed, torch.tensor(row["targets"]), atol=golden("timm_mixup")["tolerance"], rtol=0)


def test_a_teacher_that_learns_is_not_taught_by_its_targets():
    table = torch.full((2, 3), 1 / 3, requires_grad=True)
    assert not mix.mix_targets(table, np.array([1, 0]), np.array([0.5, 1.0]), num_classes=3).requires_grad


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (torch.tensor([0, 5]), {}, "targets: must lie in 0..4, got 5"),
        (torch.tensor([-1, 0]), {}, "targets: must lie in 0..4, got -1"),
        (torch.zeros(2, 6), {}, r"num_classes: must be the width of targets \(B, K\), got 5 for float32 \(2, 6\)"),
        (torch.zeros(2, 1, dtype=torch.int64), {}, "num_classes: must be the width of targets"),
        (torch.tensor([0.0, 1.0]), {}, "num_classes: must be 1 for binary targets"),
        (torch.tensor([0.0, 1.5]), {"num_classes": 1}, "targets: must lie in 0..1 where they are no class numbers"),
        (torch.tensor([[0.5, -0.5]] * 2), {"num_classes": 2}, "targets: must lie in 0..1"),
        (torch.full((2, 5), torch.nan), {}, "targets: must lie in 0..1"),
        (torch.tensor([True, False]), {}, "targets: must be class numbers"),
        (torch.zeros(2, 5, dtype=torch.complex64), {}, "targets: must be class numbers"),
        (torch.zeros(2, 5, 5), {}, "targets: must be class numbers"),
        (torch.tensor([0, 1]), {"num_classes": 0}, "num_classes: must be an integer of at least 1"),
        (torch.tensor([0, 1]), {"label_smoothing": 1.5}, "label_smoothing: must lie in 0..1"),
        (torch.tensor([0, 1, 2]), {}, "partner, lam: must have shape"),
    ],
)
def test_wrong_targets_are_named(targets, options, message):
    with pytest.raises(ValueError, match=message):
        mix.mix_targets(targets, np.array([1, 0]), np.array([0.5, 0.5]), **({"num_classes": 5} | options))


@pytest.mark.parametrize("targets", [torch.zeros(6, dtype=torch.int64), torch.zeros(6, 10)], ids=["classes", "tables"])
def test_targets_on_another_device_take_one_copy_that_nobody_waits_for(targets):
    partner, lam = np.roll(np.arange(6), 3), np.full(6, 0.5)
    with Copies() as copies:
        soft = mix.mix_targets(targets.to("meta"), partner, lam, num_classes=10, label_smoothing=0.1)
    assert soft.shape == (6, 10)
    assert copies.waits[1:] == [False]  # behind that of the test itself
    assert copies.stalls == []
