"""Test-time augmentation: run a model on every view of an image, and merge what it says into one prediction."""

from streamaug.tta.gather import gather_predictions, merge_predictions
from streamaug.tta.merge import merge
from streamaug.tta.report import Metrics, TTAReport, measure
from streamaug.tta.views import Predictor, view_logits
from streamaug.tta.weights import TTAWeights, fit_tta_weights

__all__ = [
    "Metrics",
    "Predictor",
    "TTAReport",
    "TTAWeights",
    "fit_tta_weights",
    "gather_predictions",
    "measure",
    "merge",
    "merge_predictions",
    "view_logits",
]
