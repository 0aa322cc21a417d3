"""Learned weights: the likelihood's derivatives, what is found, and that it is found again."""

import numpy as np
import pytest
import torch

from streamaug import tta
from streamaug.tta import likelihood


def planted(views=5, samples=1200, classes=6, seed=0):
    """Logits of good views, and of a last one that points at wrong classes; targets."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (samples,), generator=generator)
    onehot = torch.nn.functional.one_hot(targets, classes).float()
    wrong = torch.nn.functional.one_hot((targets + 1) % classes, classes).float()
    logits = [2.0 * onehot + 1.5 * torch.randn(samples, classes, generator=generator) for _ in range(views - 1)]
    return torch.stack([*logits, 4.0 * wrong + torch.randn(samples, classes, generator=generator)]), targets


@pytest.mark.parametrize("per_class", [False, True])
def test_the_likelihood_and_its_derivatives_are_those_of_the_merge(per_class, monkeypatch):
    monkeypatch.setattr(likelihood, "CHUNK", 100)  # several chunks, the last one not full
    logits, targets = planted(views=3, samples=17, classes=4)
    weights = np.random.default_rng(0).random((3, 4 if per_class else 1)) + 0.1
    temperature = 1.7
    loss, by_weight, by_temperature = likelihood.of_classes(logits, targets, weights, temperature)

    def reference(table, log_temperature):
        scale = float(np.exp(log_temperature))
        merged = tta.merge(logits.double(), weights=torch.from_numpy(table), temperature=scale)
        return -merged[torch.arange(17), targets].log().mean().item()

    place, step = np.log(temperature), 1e-5
    assert loss == pytest.approx(reference(weights, place), abs=1e-9)
    for index in np.ndindex(weights.shape):
        up, down = weights.copy(), weights.copy()
        up[index] += step
        down[index] -= step
        slope = (reference(up, place) - reference(down, place)) / (2 * step)
        assert by_weight[index] == pytest.approx(slope, abs=1e-6)
    slope = (reference(weights, place + step) - reference(weights, place - step)) / (2 * step)
    assert by_temperature == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("per_class", [False, True])
def test_a_harmful_view_gets_no_weight_and_the_report_says_so(per_class):
    logits, targets = planted()
    fitted = tta.fit_tta_weights(logits[:, :600], targets[:600], per_class=per_class)
    assert fitted.weights.shape == ((5, 6) if per_class else (5, 1))
    assert fitted.weights.dtype == torch.float32
    torch.testing.assert_close(fitted.weights.sum(0), torch.ones(fitted.weights.shape[1]))
    assert fitted.weights[4].max() < 0.01
    assert fitted.weights[:4].min() > 0.1
    report = fitted.report
    assert report.harmful == (4,)
    assert report.fitted.nll < report.mean.nll
    assert report.alone[4].accuracy < 0.1
    assert report.without[4].accuracy > report.mean.accuracy
    assert "mean without view 4 *" in str(report)
    kept = tta.merge(logits[:, 600:], weights=fitted.weights, temperature=fitted.temperature)
    plain = tta.merge(logits[:, 600:])
    assert tta.measure(kept, targets[600:]).accuracy > tta.measure(plain, targets[600:]).accuracy + 0.02


def test_the_fit_is_found_again_to_the_bit():
    logits, targets = planted(samples=300)
    first, second = (tta.fit_tta_weights(logits, targets) for _ in range(2))
    assert torch.equal(first.weights, second.weights)
    assert first.temperature == second.temperature


@pytest.mark.slow
def test_no_other_weights_or_temperature_nearby_are_better():
    logits, targets = planted(samples=400)
    fitted = tta.fit_tta_weights(logits, targets)

    def nll(weights, temperature):
        return tta.measure(tta.merge(logits.double(), weights=weights, temperature=temperature), targets).nll

    best, generator = nll(fitted.weights, fitted.temperature), torch.Generator().manual_seed(2)
    for _ in range(200):
        nearby = (fitted.weights + 0.05 * torch.randn(5, 1, generator=generator)).clamp_min(0)
        factor = float(1 + 0.1 * torch.randn((), generator=generator))
        assert nll(nearby, fitted.temperature * factor) > best - 1e-6


def test_an_overconfident_model_is_cooled():
    logits, targets = planted(views=2, samples=3000)
    calibrated = tta.fit_tta_weights(logits[:1], targets)
    sharpened = tta.fit_tta_weights(4 * logits[:1], targets)
    assert sharpened.temperature == pytest.approx(4 * calibrated.temperature, rel=1e-3)
    assert sharpened.report.fitted.ece < sharpened.report.mean.ece - 0.05
    assert sharpened.report.without == ()


def test_classes_with_few_samples_keep_near_the_shared_weights():
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(60) % 30
    base = 2.0 * torch.nn.functional.one_hot(targets, 30)
    logits = torch.stack([base + torch.randn(60, 30, generator=generator) for _ in range(3)])
    shared = tta.fit_tta_weights(logits, targets).weights
    per_class = tta.fit_tta_weights(logits, targets, per_class=True).weights
    assert (per_class - shared).abs().max() < 0.1


def test_metrics_are_those_of_a_worked_example():
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    metrics = tta.measure(probabilities, torch.tensor([0, 1, 1, 1]))
    assert metrics.accuracy == 0.75
    assert metrics.nll == pytest.approx(-np.log([0.9, 0.1, 0.8, 0.6]).mean(), abs=1e-6)
    # Bins of confidence: 0.9 twice with one hit (gap 0.8), 0.8 (gap 0.2), 0.6 (gap 0.4), each over 4 samples.
    assert metrics.ece == pytest.approx((abs(1.8 - 1) + 0.2 + 0.4) / 4, abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), r"logits: must be \(V, N, K\)"),
        (torch.zeros(2, 3, 2), torch.zeros(4, dtype=torch.int64), r"targets: must be integers \(3,\)"),
        (torch.zeros(2, 3, 2), torch.zeros(3), r"targets: must be integers \(3,\)"),
        (torch.zeros(2, 3, 2), torch.tensor([0, 1, 2]), "targets: must lie in 0..1, got 0..2"),
        (
            torch.full((2, 3, 2), torch.nan),
            torch.tensor([0, 1, 1]),
            "logits: must be finite, got 3 of 3 .* number 0 with nan",
        ),
        (
            torch.tensor([[[0.0, 1.0]] * 3, [[0.0, 1.0], [0.0, -torch.inf], [1.0, 0.0]]]),
            torch.tensor([0, 1, 1]),
            "logits: must be finite, got 1 of 3 samples that are not, the first number 1 with -inf",
        ),
    ],
)
def test_wrong_data_are_named(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        tta.fit_tta_weights(logits, targets)
