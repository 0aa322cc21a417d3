"""Merging views: the golden values, and that no order matters."""

import numpy as np
import pytest
import torch
from copies import Copies
from goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st

from streamaug import tta

METHODS = tta.METHODS


def random_logits(views, size=5, classes=4, seed=0):
    return 3 * torch.randn(views, size, classes, generator=torch.Generator().manual_seed(seed))


def test_merges_are_those_of_the_goldens():
    facts = golden("tta")
    logits = torch.tensor(facts["views"]).log().view(2, 1, 3)
    for method in METHODS:
        torch.testing.assert_close(tta.merge(logits, method)[0], torch.tensor(facts[method]), atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 6), st.integers(2, 5), st.sampled_from(METHODS), st.floats(0.2, 5.0))
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


_NUMPY = {"mean": np.mean, "max": np.max, "median": np.median}


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 5), st.sampled_from(METHODS), st.floats(0.2, 5.0))
def test_under_sigmoid_and_without_an_activation_each_class_stands_by_itself(views, size, classes, method, temperature):
    logits = random_logits(views, size, classes).double()
    scaled = logits.numpy() / temperature
    for activation, function in (("sigmoid", lambda values: 1 / (1 + np.exp(-values))), (None, np.asarray)):
        expected = function(scaled.mean(0)) if method == "logit_mean" else _NUMPY[method](function(scaled), axis=0)
        merged = tta.merge(logits, method, temperature=temperature, activation=activation)
        np.testing.assert_allclose(merged.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("activation", ["sigmoid", None])
@pytest.mark.parametrize("per_class", [False, True])
def test_weights_of_classes_that_stand_by_themselves_are_a_mean(activation, per_class):
    logits = random_logits(3).double()
    weights = np.array([[3.0], [0.0], [5.0]]) + per_class * np.arange(4)
    values = logits.sigmoid().numpy() if activation else logits.numpy()
    expected = (weights[:, None] * values).sum(0) / weights.sum(0)
    np.testing.assert_allclose(tta.merge(logits, weights=weights, activation=activation).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_class_that_is_masked_out_has_no_probability(method, activation):
    logits = random_logits(4)
    logits[..., 2] = -torch.inf
    merged = tta.merge(logits, method, activation=activation)
    assert (merged[:, 2] == 0).all()
    assert torch.isfinite(merged).all()
    others = tta.merge(logits[..., [0, 1, 3]], method, activation=activation)
    torch.testing.assert_close(merged[:, [0, 1, 3]], others)


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
        ({"activation": "tanh"}, 'activation: must be "softmax", "sigmoid" or None, got \'tanh\''),
        ({"temperature": float("nan")}, "temperature: must be positive"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        tta.merge(random_logits(3), **arguments)


def test_one_logit_under_softmax_is_refused_and_sigmoid_named():
    with pytest.raises(ValueError, match='activation="sigmoid"'):
        tta.merge(random_logits(3, classes=1))


def test_logits_without_a_view_dimension_are_named():
    with pytest.raises(ValueError, match=r"logits: must be \(V, B, K\), V and K at least 1, got \(2, 3\)"):
        tta.merge(torch.zeros(2, 3))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_logits_of_no_class_are_named(activation):
    with pytest.raises(ValueError, match=r"logits: must be \(V, B, K\), V and K at least 1, got \(2, 3, 0\)"):
        tta.merge(torch.zeros(2, 3, 0), activation=activation)


def test_weights_go_to_another_device_without_a_wait():
    with Copies() as copies:
        merged = tta.merge(torch.empty(3, 5, 4, device="meta"), weights=np.ones((3, 1)))
    assert merged.device.type == "meta"
    assert copies.waits == [False]
    assert copies.stalls == []
