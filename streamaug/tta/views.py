"""Running a model over the views of a batch, a chunk at a time, and merging what it says.

In: a `Batch` whose images are view-major. Out: its logits view by view, or a `Prediction`. The model's train or eval
mode is never changed.
"""

import warnings
from collections.abc import Callable, Iterator
from itertools import chain

import torch
from torch import nn

from streamaug.batch import Batch, Prediction
from streamaug.tta.merge import ArrayLike, check_method, check_weights, merge
from streamaug.tta.weights import TTAWeights

Model = Callable[[torch.Tensor], torch.Tensor]


def view_logits(model: Model, images: torch.Tensor, views: int, *, chunk_size: int | None = None) -> torch.Tensor:
    """What a model says of each view; runs under `torch.inference_mode()`.

    Args:
        model: From images (N, C, H, W) to logits (N, K). A module's parameters say on which device it runs.
        images: (V·B, C, H, W), view-major; moved to the model's device a chunk at a time.
        views: V.
        chunk_size: Images that the model is given at once. None: B, one view at a time.

    Returns:
        Float (V, B, K), on the model's device, in the dtype that the model returns.

    Raises:
        ValueError: If the images are no multiple of V, or the model does not return (N, K).
    """
    check_chunk_size(chunk_size)
    if views < 1 or len(images) == 0 or len(images) % views:
        raise ValueError(
            f"views: every image needs all of its {views} views, got {len(images)} images. "
            "Pass whole batches, as the augmenter delivers them."
        )
    size, device = len(images) // views, device_of(model)
    with torch.inference_mode():
        parts = []
        for chunk in torch.split(images, chunk_size or size):
            logits = model(chunk if device is None else chunk.to(device, non_blocking=True))
            if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(chunk):
                got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
                raise ValueError(
                    f"model: must return logits ({len(chunk)}, K), got {got}. "
                    "Wrap it in a function that returns the logits alone."
                )
            parts.append(logits)
        return torch.cat(parts).view(views, size, -1)


def device_of(model: Model) -> torch.device | None:
    """The device of a module's first parameter or buffer; None for any other callable."""
    if isinstance(model, nn.Module):
        for tensor in chain(model.parameters(), model.buffers()):
            return tensor.device
    return None


def batch_norms_in_train_mode(model: Model) -> list[str]:
    """Names of the batch-norm layers that would use, and update, the statistics of the batch."""
    if not isinstance(model, nn.Module):
        return []
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return [name for name, layer in model.named_modules() if isinstance(layer, kinds) and layer.training]


def check_chunk_size(chunk_size: int | None) -> None:
    """Raises ValueError unless None or at least 1."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(
            f"chunk_size: must be at least 1, got {chunk_size}. None runs one view of the batch at a time."
        )


class Predictor:
    """Predicts batches, one at a time."""

    def __init__(
        self,
        model: Model,
        *,
        method: str = "mean",
        weights: ArrayLike | TTAWeights | None = None,
        chunk_size: int | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model: must be callable, got {type(model).__name__}. Pass a module or a function.")
        check_method(method, weighted=weights is not None)
        check_chunk_size(chunk_size)
        self._model, self._method, self._chunk_size = model, method, chunk_size
        self._temperature = weights.temperature if isinstance(weights, TTAWeights) else 1.0
        table = weights.weights if isinstance(weights, TTAWeights) else weights
        self._weights = None if table is None else check_weights(table)

    def predict_all(self, batches: Iterator[Batch]) -> Iterator[Prediction]:
        """Predictions, one for each batch; warns about batch-norm in train mode."""
        training = batch_norms_in_train_mode(self._model)
        if training:
            warnings.warn(
                f"TestTimeAugment.model: batch-norm must be in eval mode to predict samples one by one, got "
                f"{len(training)} layers in train mode, the first {training[0]!r}. Call model.eval() before.",
                UserWarning,
                stacklevel=2,
            )
        for batch in batches:
            yield self.predict(batch)

    def predict(self, batch: Batch) -> Prediction:
        """The batch's merged probabilities, float32, on the model's device.

        Raises:
            ValueError: If the batch is mixed, or its views do not fit the weights, or the model's output is no logits.
        """
        if not isinstance(batch, Batch):
            raise TypeError(
                f"TestTimeAugment: needs batches of decoded images, got {type(batch).__name__}. "
                "Put it behind .augment()."
            )
        targets = batch.targets
        if batch.mix is not None or not (targets is None or isinstance(targets, torch.Tensor)):
            raise ValueError("TestTimeAugment: needs images that were not mixed, got a mixed batch. Leave mixing out.")
        logits = view_logits(self._model, batch.images, batch.views, chunk_size=self._chunk_size)
        with torch.no_grad():  # outside of inference mode, so that the result is an ordinary tensor
            merged = merge(logits, self._method, weights=self._weights, temperature=self._temperature).float()
        if targets is not None:
            targets = targets.to(merged.device, non_blocking=True)
        return Prediction(merged, targets, batch.origin)
