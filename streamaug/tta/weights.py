"""Learns a weight for each view, and a temperature, on held-out data.

In: logits of V views of held-out samples, and their targets. Out: non-negative weights and one temperature, which
minimise the negative log-likelihood of the weighted mean. A harmful view gets a weight of about 0. Deterministic: it
draws no number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from streamaug.batch import ArrayLike, Float64Array
from streamaug.tta.held_out import HeldOut, held_out
from streamaug.tta.likelihood import Likelihood, of_answers, of_classes
from streamaug.tta.merge import Activation, check_activation
from streamaug.tta.report import TTAReport, make_report
from streamaug.tta.selection import check_max_views, chosen_views

#: The bounds of the temperature.
_TEMPERATURES = (0.05, 20.0)
#: Weights below this share of the largest are set to 0: the optimiser stops within about this distance of the bound.
_NEGLIGIBLE = 1e-4
#: Strength, in samples, with which a class's weights are drawn to the shared weights, since few samples tell little.
_PRIOR_SAMPLES = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class TTAWeights:
    """Learned weights and temperature; `merge` and the `tta` stage take them.

    Attributes:
        weights: float32 (V, 1), or (V, K) per class; non-negative, each column sums to 1.
        temperature: Divides the logits, > 0.
        report: Accuracy, likelihood and calibration, of each view too; `print` shows a table.
        activation: The activation of the fit, with which to use them.
    """

    weights: torch.Tensor
    temperature: float
    report: TTAReport
    activation: Activation | None = "softmax"


def fit_tta_weights(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    per_class: bool = False,
    max_views: int | None = None,
    report_on: tuple[ArrayLike, ArrayLike] | None = None,
    activation: Activation | None = "softmax",
) -> TTAWeights:
    """Learn weights and a temperature that minimise the negative log-likelihood on held-out data, by L-BFGS-B.

    Args:
        logits: float (V, N, K), tensor or array, of data that the model was not trained on.
        targets: int (N,), 0..K−1. With an activation other than "softmax" also 0 and 1, (N, K), for independent
            classes, or (N,) for one logit; the likelihood is then a mean over samples and classes.
        per_class: Whether each class has its own weights. They are drawn towards the shared weights, the more the fewer
            samples.
        max_views: The most views with a weight, which `select_views` chooses; the others get 0 and need not be
            computed. None: all views.
        report_on: (logits, targets) of other samples for the report; they do not change the fit. None: the report is of
            the fit's own data, which flatter it, and says so.
        activation: From logits to probabilities: "softmax", "sigmoid", or None for values that are probabilities
            already, whose temperature stays 1.

    Returns:
        The weights, the temperature and a report.

    Raises:
        ValueError: If the shapes do not belong together, a logit is not finite, or an argument is out of range.
    """
    check_activation(activation)
    check_max_views(max_views)
    data = held_out(logits, targets, activation)
    other = data if report_on is None else _other(report_on, data)
    if per_class and activation is None and data.targets.ndim == 1:
        raise ValueError(
            "per_class: needs logits, whose probabilities sum to 1 whatever the weights, got activation=None. "
            'Write activation="softmax", or leave per_class out.'
        )
    views, _, classes = data.logits.shape
    selected = tuple(range(views)) if max_views is None else chosen_views(data, max_views).views
    taken = HeldOut(data.logits[list(selected)], data.targets, activation) if max_views is not None else data
    shared, temperature = _minimise(taken, np.full((len(selected), 1), 1.0 / len(selected)), 1.0, prior=None)
    weights = shared
    if per_class:
        weights, temperature = _minimise(taken, np.repeat(shared, classes, 1), temperature, prior=shared)
    whole = np.zeros((views, weights.shape[1]))
    whole[list(selected)] = weights
    tensor = torch.from_numpy(whole).float()
    report = make_report(other, tensor, temperature, held_out=report_on is not None, selected=selected)
    return TTAWeights(tensor, temperature, report, activation)


def _other(report_on: tuple[ArrayLike, ArrayLike], data: HeldOut) -> HeldOut:
    if not (isinstance(report_on, tuple | list) and len(report_on) == 2):
        raise ValueError(
            f"report_on: must be (logits, targets), got {type(report_on).__name__}. Pass both of other samples."
        )
    other = held_out(*report_on, data.activation, name="report_on.")
    if other.logits.shape[::2] != data.logits.shape[::2] or other.targets.ndim != data.targets.ndim:
        raise ValueError(
            f"report_on.logits: must have the views and classes of logits, {tuple(data.logits.shape)}, got "
            f"{tuple(other.logits.shape)}. Take other samples of the same views."
        )
    return other


def _evaluation(data: HeldOut) -> tuple[Callable[[Float64Array, float], Likelihood], float]:
    """The likelihood as a function of weights and temperature, and the factor of the prior beside it."""
    if data.activation == "softmax":
        return lambda weights, temperature: of_classes(data.logits, data.targets, weights, temperature), 1.0
    if data.activation == "sigmoid":
        answers = data.answers
        share = 1.0 / answers.shape[1]  # as in the mean over classes, of which each class is so small a part
        return lambda weights, temperature: of_answers(data.logits, answers, weights, temperature), share
    if data.targets.ndim > 1:
        return lambda weights, _: of_answers(data.logits, data.targets, weights, None), 1.0 / data.targets.shape[1]
    own = data.likelihoods()[..., None]
    return lambda weights, _: of_answers(own, torch.ones(own.shape[1:], dtype=torch.bool), weights, None), 1.0


def _minimise(
    data: HeldOut, start: Float64Array, temperature: float, *, prior: Float64Array | None
) -> tuple[Float64Array, float]:
    """Weights like `start`, with columns that sum to 1, and the temperature."""
    from scipy.optimize import minimize  # an import of half a second, which only a fit needs

    shape = start.shape
    evaluate, prior_share = _evaluation(data)

    def objective(parameters: Float64Array) -> tuple[float, Float64Array]:
        weights = parameters[:-1].reshape(shape)
        loss, by_weight, by_temperature = evaluate(weights, math.exp(parameters[-1]))
        # The likelihood is blind to the weights' scale: hold it, or the search walks off along it.
        excess = weights.sum(0) - 1.0
        loss += float(np.mean(excess**2))
        by_weight = by_weight + 2.0 * excess / len(excess)
        if prior is not None:
            strength, distance = _PRIOR_SAMPLES / data.logits.shape[1] * shape[0] ** 2, weights - prior
            strength *= prior_share
            loss += strength * float(np.sum(distance**2))
            by_weight = by_weight + 2.0 * strength * distance
        return loss, np.append(by_weight.ravel(), by_temperature)

    low, high = (math.log(bound) if data.activation is not None else 0.0 for bound in _TEMPERATURES)
    result = minimize(
        objective,
        np.append(start.ravel(), math.log(temperature)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * start.size + [(low, high)],
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7},
    )
    weights = result.x[:-1].reshape(shape)
    weights[weights < _NEGLIGIBLE * weights.max(0)] = 0.0
    return weights / weights.sum(0), math.exp(result.x[-1])
