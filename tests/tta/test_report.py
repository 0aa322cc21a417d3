"""The report of a fit: its figures, of which data they are, its table and its picture."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from streamaug import tta


def planted(samples=600, classes=4, seed=0):
    """Two good views and one that points at wrong classes."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (samples,), generator=generator)
    right = torch.nn.functional.one_hot(targets, classes).float()
    pointed = (2 * right, 2 * right, 3 * right.roll(1, 1))
    return torch.stack([each + torch.randn(samples, classes, generator=generator) for each in pointed]), targets


def measured(probabilities, targets):
    """Accuracy, NLL and calibration error in numpy, of class numbers or of decisions."""
    if targets.ndim == 1:
        confidence, hits = probabilities.max(1), probabilities.argmax(1) == targets
        chosen = probabilities[np.arange(len(targets)), targets]
    else:
        hits = ((probabilities > 0.5) == targets).ravel()
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        chosen = np.where(targets, probabilities, 1 - probabilities).ravel()
    bins = np.clip(np.ceil(confidence * 15).astype(int), 1, 15)
    gaps = [abs((confidence - hits)[bins == number].sum()) for number in range(1, 16)]
    return hits.mean(), -np.log(chosen).mean(), sum(gaps) / len(hits)


def check(report, fitted, logits, targets, activation):
    values = logits.double().numpy()
    if activation == "softmax":
        values = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    elif activation == "sigmoid":
        values = 1 / (1 + np.exp(-values))
    answers = targets.numpy()
    weighed = tta.merge(logits.double(), weights=fitted.weights, temperature=fitted.temperature, activation=activation)
    mean = values.mean(0)
    expected = [weighed.numpy(), mean, *values, *(np.delete(values, view, 0).mean(0) for view in range(len(values)))]
    for metrics, probabilities in zip(
        [report.fitted, report.mean, *report.alone, *report.without], expected, strict=True
    ):
        np.testing.assert_allclose(
            (metrics.accuracy, metrics.nll, metrics.ece), measured(probabilities, answers), atol=1e-5
        )
    choices = [each.argmax(1) if answers.ndim == 1 else each > 0.5 for each in (mean, *values)]
    np.testing.assert_allclose(report.agreement, [(each == choices[0]).mean() for each in choices[1:]])
    assert report.harmful == tuple(v for v, each in enumerate(report.without) if each.nll < report.mean.nll)


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize(("activation", "decisions"), [("softmax", False), ("sigmoid", False), ("sigmoid", True)])
def test_every_figure_is_what_it_says_on_the_data_of_the_fit_and_on_others(activation, decisions, per_class):
    logits, targets = planted()
    if decisions:
        logits, targets = logits - 1.5, torch.nn.functional.one_hot(targets, 4).bool()
    half, rest = (logits[:, :300], targets[:300]), (logits[:, 300:], targets[300:])
    options = {"activation": activation, "per_class": per_class}
    fitted, other = tta.fit_tta_weights(*half, report_on=rest, **options), tta.fit_tta_weights(*half, **options)
    assert torch.equal(fitted.weights, other.weights)
    assert fitted.temperature == other.temperature
    check(fitted.report, fitted, *rest, activation)
    check(other.report, other, *half, activation)
    assert (fitted.report.held_out, other.report.held_out) == (True, False)
    assert fitted.report.harmful == other.report.harmful == (2,)
    assert fitted.weights[2].max() < 0.02 * fitted.weights[:2].max()
    assert fitted.report.fitted.nll < fitted.report.mean.nll
    assert fitted.activation == activation
    assert str(fitted.report).endswith("measured on held-out data")
    assert "measured on the data of the fit, which flatter it" in str(other.report)


def test_values_that_are_probabilities_keep_their_temperature():
    logits, targets = planted()
    values = logits.softmax(-1)
    fitted = tta.fit_tta_weights(values, targets, activation=None)
    assert fitted.temperature == 1.0
    assert fitted.weights[2] < 0.01
    check(fitted.report, fitted, values, targets, None)
    answers = torch.nn.functional.one_hot(targets, 4)
    single = tta.fit_tta_weights((logits - 1.5).sigmoid(), answers, activation=None, per_class=True)
    assert single.weights.shape == (3, 4)
    assert single.weights[2].max() < 0.02
    assert single.temperature == 1.0


@pytest.mark.parametrize("flat", [True, False])
def test_one_logit_is_fitted_and_cooled(flat):
    generator = torch.Generator().manual_seed(0)
    right = torch.randint(2, (2000,), generator=generator)
    sure = torch.stack([8.0 * (right - 0.5) + 4 * torch.randn(2000, generator=generator) for _ in range(2)])[..., None]
    wrong = -sure[:1]
    targets = right if flat else right[:, None].float()
    fitted = tta.fit_tta_weights(torch.cat([4 * sure, wrong]), targets, activation="sigmoid")
    assert fitted.weights[2] < 0.01
    assert fitted.temperature > 2
    assert fitted.report.fitted.ece < fitted.report.mean.ece
    check(fitted.report, fitted, torch.cat([4 * sure, wrong]), right[:, None], "sigmoid")


def test_the_table_has_a_line_for_each_figure_and_the_names_of_the_views():
    logits, targets = planted()
    report = tta.fit_tta_weights(logits, targets).report
    lines = report.table(["center", "mirrored", "upside down"]).splitlines()
    assert len(lines) == 1 + 2 + 3 + 3 + 2
    assert lines[0].split() == ["weight", "accuracy", "NLL", "ECE", "agreement"]
    assert lines[3].startswith("center alone")
    numbers = [float(number) for number in lines[3].split()[2:]]
    mine = report.alone[0]
    np.testing.assert_allclose(
        numbers, [report.weights[0], mine.accuracy, mine.nll, mine.ece, report.agreement[0]], atol=6e-5
    )
    assert lines[8].startswith("mean without upside down *")
    assert lines[9] == "* the mean has a lower NLL without it"
    assert str(report) == report.table()
    with pytest.raises(ValueError, match="names: must be 3, one for each view, got 2"):
        report.table(["a", "b"])


def test_the_chart_shows_every_row_and_marks_what_harms():
    logits, targets = planted()
    report = tta.fit_tta_weights(logits, targets).report
    picture = ElementTree.fromstring(report.chart(["<center>", "mirrored", "upside down"]))
    words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    for row in ("fitted", "mean of all views", "<center> alone", "mean without upside down"):
        assert row in words
    assert any("red: the mean has a lower NLL" in word for word in words)
    dots = list(picture.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 3 * 8
    places = [float(dot.get("cx")) for dot in dots[:8]]
    values = [each.accuracy for each in (report.fitted, report.mean, *report.alone, *report.without)]
    np.testing.assert_array_equal(np.argsort(places, kind="stable"), np.argsort(values, kind="stable"))
    assert f"{report.mean.nll:.4f}" in words
    single = tta.fit_tta_weights(logits[:1], targets).report.chart()
    assert not re.search("nan|inf", single)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"report_on": 3}, r"report_on: must be \(logits, targets\), got int"),
        ({"report_on": (torch.zeros(2, 9, 4), torch.zeros(9, dtype=torch.int64))}, r"report_on.logits: must have the"),
        ({"report_on": (torch.zeros(3, 9, 5), torch.zeros(9, dtype=torch.int64))}, r"report_on.logits: must have the"),
        ({"report_on": (torch.zeros(3, 9, 4), torch.full((9,), 4))}, r"report_on.targets: must lie in 0..3"),
        ({"activation": "tanh"}, "activation: must be"),
        ({"activation": None}, r"logits: must be probabilities, 0..1, with activation=None"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tta.fit_tta_weights(*planted(40), **options)


@pytest.mark.parametrize(
    ("logits", "targets", "activation", "message"),
    [
        (torch.zeros(2, 3, 1), torch.zeros(3).long(), "softmax", 'activation: .* Write activation="sigmoid"'),
        (torch.zeros(2, 3, 2), torch.full((3, 2), 0.5), "sigmoid", r"targets: must be 0 or 1, \(3, 2\)"),
        (torch.zeros(2, 3, 2), torch.zeros(3, 3), "sigmoid", r"targets: must be 0 or 1, \(3, 2\)"),
        (torch.zeros(2, 3, 2), torch.zeros(3, 2), "softmax", r"targets: must be integers \(3,\)"),
    ],
)
def test_targets_that_do_not_go_with_the_activation_are_named(logits, targets, activation, message):
    with pytest.raises(ValueError, match=message):
        tta.fit_tta_weights(logits, targets, activation=activation)


def test_probabilities_of_a_class_each_need_shared_weights():
    logits, targets = planted(40)
    with pytest.raises(ValueError, match="per_class: needs logits"):
        tta.fit_tta_weights(logits.softmax(-1), targets, activation=None, per_class=True)
