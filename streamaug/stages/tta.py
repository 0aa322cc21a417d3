"""The stage that predicts: `TestTimeAugment` runs a model on every view of a batch and merges what it says.

In: batches of an evaluation recipe, with one view or several. Out: one `Prediction` for each. The work is done by
`streamaug.tta`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from streamaug.batch import Prediction
from streamaug.stages.base import EpochPass, Stage
from streamaug.tta import Predictor, TTAWeights
from streamaug.tta.views import Model


class TestTimeAugment(Stage):
    """Predict each sample from all of its views.

    The model runs under `torch.inference_mode()`, in whatever mode it is in, on its own device: call `model.eval()`
    before. Its temporaries are those of `chunk_size` images.

    Args:
        source: The stage before, an `Augmenter` with a recipe such as `recipes.imagenet_tta("ten_crop")`.
        model: From images (N, C, H, W) to logits (N, K).
        merge: "mean" of the views' probabilities, "logit_mean", "max" or "median", see `tta.merge`.
        weights: Of the views, (V, 1) or (V, K), or what `tta.fit_tta_weights` learned, its temperature included; with
            "mean" only.
        chunk_size: Images that the model is given at once. None: as many as the batch has samples, one view at a time.

    Raises:
        ValueError: If an argument is out of range, or weights come with a merge other than "mean".
    """

    __test__ = False  # pytest takes the name for a test's

    def __init__(
        self,
        source: Stage,
        model: Model,
        *,
        merge: str = "mean",
        weights: torch.Tensor | Sequence[Sequence[float]] | TTAWeights | None = None,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(source)
        if not (weights is None or isinstance(weights, torch.Tensor | TTAWeights)):
            weights = torch.from_numpy(np.asarray(weights, np.float32))
        self._predictor = Predictor(model, method=merge, weights=weights, chunk_size=chunk_size)

    def _run(self, epoch_pass: EpochPass) -> Iterator[Prediction]:
        yield from self._predictor.predict_all(self._batches(epoch_pass))
