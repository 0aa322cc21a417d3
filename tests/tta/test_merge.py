"""Merging views: the golden values, and that no order matters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamaug import tta

METHODS = ("mean", "logit_mean", "max", "median")
GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens" / "tta.json"


def random_logits(views, size=5, classes=4, seed=0):
    return 3 * torch.randn(views, size, classes, generator=torch.Generator().manual_seed(seed))


def test_merges_are_those_of_the_goldens():
    if not GOLDENS.exists():
        pytest.skip(f"there is no {GOLDENS.name}")
    facts = json.loads(GOLDENS.read_text())
    logits = torch.tensor(facts["views"]).log().view(2, 1, 3)
    for method in METHODS:
        torch.testing.assert_close(tta.merge(logits, method)[0], torch.tensor(facts[method]), atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 5), st.sampled_from(METHODS), st.floats(0.2, 5.0))
def test_merges_are_the_formulas_written_in_numpy(views, size, classes, method, temperature):
    logits = random_logits(views, size, classes).double()
    scaled = np.exp(logits.numpy() / temperature)
    probabilities = scaled / scaled.sum(-1, keepdims=True)
    expected = {
        "mean": probabilities.mean(0),
        "logit_mean": np.exp(np.log(probabilities).mean(0)),
        "max": probabilities.max(0),
        "median": np.median(probabilities, 0),
    }[method]
    expected /= expected.sum(-1, keepdims=True)
    merged = tta.merge(logits, method, temperature=temperature)
    np.testing.assert_allclose(merged.numpy(), expected, atol=1e-12)
    turned = tta.merge(logits.flip(0).flip(1), method, temperature=temperature).flip(0)
    torch.testing.assert_close(turned, merged)


@settings(deadline=None)
@given(st.integers(1, 5), st.booleans(), st.integers(0, 100))
def test_weights_are_a_mean_whatever_their_scale(views, per_class, seed):
    logits = random_logits(views, seed=seed)
    weights = torch.rand(views, 4 if per_class else 1, generator=torch.Generator().manual_seed(seed)) + 0.01
    expected = (weights[:, None] * logits.softmax(-1)).sum(0)
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(tta.merge(logits, weights=weights), expected)
    torch.testing.assert_close(tta.merge(logits.numpy(), weights=5 * weights.numpy()), expected)


def test_half_precision_is_merged_in_float32():
    logits = random_logits(3)
    merged = tta.merge(logits.half())
    assert merged.dtype == torch.float32
    torch.testing.assert_close(merged, tta.merge(logits.half().float()))


def test_a_class_ruled_out_by_every_view_stays_ruled_out():
    logits = torch.tensor([[[0.0, -torch.inf, 1.0]], [[2.0, -torch.inf, 0.0]]])
    for method in METHODS:
        merged = tta.merge(logits, method)
        assert merged[0, 1] == 0
        torch.testing.assert_close(merged.sum(-1), torch.ones(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "average"}, "merge: must be one of mean, logit_mean, max, median, got 'average'"),
        ({"method": "max", "weights": torch.ones(3, 1)}, 'weights: go with "mean" only'),
        ({"weights": torch.ones(3)}, r"weights: must have shape \(3, 1\) or \(3, 4\), got \(3,\)"),
        ({"weights": torch.ones(2, 1)}, r"weights: must have shape \(3, 1\)"),
        ({"weights": torch.ones(3, 3)}, r"weights: must have shape \(3, 1\)"),
        ({"weights": torch.tensor([[1.0], [-1.0], [1.0]])}, "weights: must be finite and not negative"),
        ({"weights": torch.full((3, 1), torch.nan)}, "weights: must be finite"),
        ({"weights": torch.zeros(3, 4)}, "weights: need a positive one for each class"),
        ({"temperature": 0.0}, "temperature: must be positive"),
        ({"temperature": float("nan")}, "temperature: must be positive"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        tta.merge(random_logits(3), **arguments)


def test_logits_without_a_view_dimension_are_named():
    with pytest.raises(ValueError, match=r"logits: must be \(V, B, K\), got \(2, 3\)"):
        tta.merge(torch.zeros(2, 3))
