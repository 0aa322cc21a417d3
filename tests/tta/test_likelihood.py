"""The likelihood of weighted views, and its derivatives: those of the merge, by finite differences."""

import numpy as np
import pytest
import torch

from streamaug import tta
from streamaug.tta import likelihood


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch):
    monkeypatch.setattr(likelihood, "CHUNK", 100)  # the last one is not full


def data(classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, 37, classes, generator=generator)
    return logits, torch.rand(37, classes, generator=generator) < 0.4


def check(evaluate, reference, weights, temperature):
    """The loss is the reference's, its derivatives are slopes of it."""
    loss, by_weight, by_temperature = evaluate(weights, temperature)
    assert loss == pytest.approx(reference(weights, temperature), abs=1e-9)
    step = 1e-5
    for index in np.ndindex(weights.shape):
        up, down = weights.copy(), weights.copy()
        up[index] += step
        down[index] -= step
        slope = (reference(up, temperature) - reference(down, temperature)) / (2 * step)
        assert by_weight[index] == pytest.approx(slope, abs=1e-6)
    up, down = temperature * np.exp(step), temperature * np.exp(-step)
    slope = (reference(weights, up) - reference(weights, down)) / (2 * step)
    assert by_temperature == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_of_classes_that_stand_by_themselves(activation, per_class, classes):
    logits, answers = data(classes)
    if activation is None:
        logits = logits.sigmoid()
    weights = np.random.default_rng(0).random((3, classes if per_class else 1)) + 0.1

    def evaluate(table, temperature):
        return likelihood.of_answers(logits, answers, table, None if activation is None else temperature)

    def reference(table, temperature):
        scale = 1.0 if activation is None else temperature
        merged = tta.merge(logits.double(), weights=torch.from_numpy(table), temperature=scale, activation=activation)
        return -torch.where(answers, merged, 1 - merged).log().mean().item()

    check(evaluate, reference, weights, 1.7)


def test_certain_and_wrong_is_finite():
    logits = torch.tensor([[[1000.0]], [[-3000.0]]])
    loss, by_weight, slope = likelihood.of_answers(logits, torch.tensor([[False]]), np.array([[1.0], [0.0]]), 1.0)
    assert np.isfinite([loss, slope, *by_weight.ravel()]).all()
    assert loss > 100
