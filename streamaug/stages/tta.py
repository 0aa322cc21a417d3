"""The stage that predicts: `TestTimeAugment` runs a model on every view of a batch and merges the outputs.

In: batches of an evaluation recipe, with one view or several. Out: one `Prediction` for each. `streamaug.tta` does the
work.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from streamaug.batch import Prediction
from streamaug.reader.state import EpochPass
from streamaug.stages.base import Stage
from streamaug.tta.merge import Activation
from streamaug.tta.output import OutputPicker
from streamaug.tta.views import Model, Predictor
from streamaug.tta.weights import TTAWeights


class TestTimeAugment(Stage):
    """Predict each sample from all of its views.

    The model runs under `torch.inference_mode()`, on its own device, and keeps its train or eval mode: call
    `model.eval()` before. It runs on `chunk_size` images at a time, which bounds its memory.

    Args:
        source: The stage before, an `Augmenter` with a recipe such as `recipes.imagenet_tta("ten_crop")`.
        model: From images (N, C, H, W) to logits (N, K), or to a result from which `output` takes them.
        merge: How the views' probabilities are merged, a name of `tta.METHODS`: "mean", "logit_mean" (the geometric
            mean), "max" or "median", see `tta.merge`.
        weights: Of the views, (V, 1) or (V, K); or the result of `tta.fit_tta_weights`, with its temperature. With
            "mean" only.
        chunk_size: Images that the model gets at once. None: as many as the batch has samples, one view at a time.
        activation: From logits to probabilities: "softmax"; "sigmoid", for models with one logit or with many labels,
            where a model may return (N,); or None, for values that are merged as they are.
        output: Where the logits are in the model's result: a key ("logits"), an index, or a function of the result.
            None: the result is the tensor.

    Raises:
        ValueError: If an argument is out of range, or weights come with a merge other than "mean"; while it runs, if a
            model has one logit under softmax, returns NaN, or no logits where output says.
    """

    __test__ = False  # pytest takes the name for a test's
    _delivers_plain_images = False

    def __init__(
        self,
        source: Stage,
        model: Model,
        *,
        merge: str = "mean",
        weights: torch.Tensor | Sequence[Sequence[float]] | TTAWeights | None = None,
        chunk_size: int | None = None,
        activation: Activation | None = "softmax",
        output: OutputPicker = None,
    ) -> None:
        super().__init__(source)
        if not (weights is None or isinstance(weights, torch.Tensor | TTAWeights)):
            try:
                weights = torch.from_numpy(np.asarray(weights, np.float32))
            except (TypeError, ValueError):
                raise ValueError(
                    f"weights: must be numbers, a row for each view, got {weights!r}. Write [[2], [1]]."
                ) from None
        self._predictor = Predictor(
            model, method=merge, weights=weights, chunk_size=chunk_size, activation=activation, output=output
        )

    def run(self, epoch_pass: EpochPass) -> Iterator[Prediction]:
        """The predictions of a pass."""
        yield from self._predictor.predict_all(self.source.run(epoch_pass))
