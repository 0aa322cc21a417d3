"""Test-time augmentation: run a model on every view of an image, and merge its outputs into one prediction.

views (the model, chunk by chunk; output finds its logits) → merge (views to probabilities) → gather (ranks and batches
to one evaluation) → files. From held_out data: weights (by likelihood), selection (few views), report, chart.
"""

from streamaug.tta.collecting import collect_logits
from streamaug.tta.files import read_predictions, write_predictions
from streamaug.tta.gather import gather_predictions, merge_predictions
from streamaug.tta.merge import METHODS, merge
from streamaug.tta.report import Metrics, TTAReport, measure
from streamaug.tta.selection import ViewSelection, select_views
from streamaug.tta.views import view_logits
from streamaug.tta.weights import TTAWeights, fit_tta_weights

__all__ = [
    "METHODS",
    "Metrics",
    "TTAReport",
    "TTAWeights",
    "ViewSelection",
    "collect_logits",
    "fit_tta_weights",
    "gather_predictions",
    "measure",
    "merge",
    "merge_predictions",
    "read_predictions",
    "select_views",
    "view_logits",
    "write_predictions",
]
