"""Runs a model over the views of a batch, a chunk at a time, and merges its outputs.

In: a `Batch` whose images are view-major. Out: its logits view by view, or a `Prediction`. The model's train or eval
mode is never changed.
"""

import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import nn

from streamaug.batch import ArrayLike, Batch, Prediction, decoded
from streamaug.tta.merge import Activation, check_activation, check_method, check_weights, merge
from streamaug.tta.output import OutputPicker, check_output, pick_logits
from streamaug.tta.weights import TTAWeights

#: From images (N, C, H, W) to logits, or to a result from which `output` takes them.
Model = Callable[[torch.Tensor], Any]


def view_logits(
    model: Model, images: torch.Tensor, views: int, *, chunk_size: int | None = None, output: OutputPicker = None
) -> torch.Tensor:
    """The model's logits for each view; it runs under `torch.inference_mode()`.

    Args:
        model: From images (N, C, H, W) to logits (N, K), or (N,), which is (N, 1). A module's parameters say on which
            device it runs.
        images: (V·B, C, H, W), view-major; moved to the model's device a chunk at a time.
        views: V.
        chunk_size: Images that the model gets at once. None: B, one view at a time.
        output: Where the logits are in the model's result: a key, an index, or a function of the result. None: the
            result is the tensor.

    Returns:
        Float (V, B, K), on the model's device, in the dtype that the model returns.

    Raises:
        ValueError: If the images are no multiple of V, or the model's result has no logits (N, K) where `output` says.
    """
    check_chunk_size(chunk_size)
    check_output(output)
    if views < 1 or len(images) == 0 or len(images) % views:
        raise ValueError(
            f"views: every image needs all of its {views} views, got {len(images)} images. "
            "Pass whole batches, as the augmenter delivers them."
        )
    size, device = len(images) // views, device_of(model)
    with torch.inference_mode():
        parts: list[torch.Tensor] = []
        for chunk in torch.split(images, chunk_size or size):
            moved = chunk if device is None else chunk.to(device, non_blocking=True)
            try:
                answer = model(moved)
            except RuntimeError as error:
                _note_dtypes(error, model, moved)
                raise
            logits = pick_logits(answer, output)
            if logits.ndim == 1:
                logits = logits[:, None]
            if logits.ndim != 2 or len(logits) != len(chunk) or logits.shape[1] == 0:
                raise ValueError(
                    f"model: must return logits ({len(chunk)}, K) of one class or more, got {tuple(logits.shape)}. "
                    "Write output=function, which takes the model's result and returns the logits."
                )
            if parts:
                check_classes(logits, parts[0].shape[1])
            parts.append(logits)
        return torch.cat(parts).view(views, size, -1)


def check_classes(logits: torch.Tensor, classes: int) -> None:
    """Raise ValueError unless logits (..., K) have as many classes as the model's logits before."""
    if logits.shape[-1] != classes:
        raise ValueError(
            f"model: must return as many classes for all images, got {logits.shape[-1]} after {classes}. "
            "Return a logit for each class, −∞ for a class without a chance."
        )


def _note_dtypes(error: RuntimeError, model: Model, images: torch.Tensor) -> None:
    """Add to a model's error that its parameters have another floating dtype than the images, if they have."""
    parameters = iter(model.parameters() if isinstance(model, nn.Module) else ())
    dtype = next((parameter.dtype for parameter in parameters if parameter.is_floating_point()), images.dtype)
    if dtype != images.dtype:
        name = str(dtype).removeprefix("torch.")
        error.add_note(
            f"The images are {images.dtype}, the model's parameters {dtype}. Write the recipe with dtype={name!r}, or "
            "give a function that runs the model under torch.autocast."
        )


def device_of(model: Model) -> torch.device | None:
    """The device of a module's first parameter or buffer; None for any other callable."""
    if isinstance(model, nn.Module):
        for tensor in chain(model.parameters(), model.buffers()):
            return tensor.device
    return None


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def warn_of_batch_norms(model: Model) -> None:
    """Warn of batch-norm layers that use the batch's statistics, so that predictions depend on neighbours."""
    layers = [] if not isinstance(model, nn.Module) else list(model.named_modules())
    norms = [(name, layer) for name, layer in layers if isinstance(layer, _BATCH_NORMS)]
    training = [name for name, layer in norms if layer.training]
    if training:
        warnings.warn(
            f"TestTimeAugment.model: batch-norm must be in eval mode to predict samples one by one, got "
            f"{len(training)} layers in train mode, the first {training[0]!r}. Call model.eval() before.",
            UserWarning,
            stacklevel=3,
        )
        return
    untracked = [name for name, layer in norms if layer.running_mean is None]
    if untracked:
        warnings.warn(
            f"TestTimeAugment.model: batch-norm must have statistics to predict samples one by one, got "
            f"{len(untracked)} layers with track_running_stats=False, the first {untracked[0]!r}: a prediction depends "
            "on the other samples of its batch. Train with track_running_stats=True.",
            UserWarning,
            stacklevel=3,
        )


def warn_of_probabilities(logits: torch.Tensor) -> None:
    """Warn of a model that ends in a softmax of its own, a second of which would make all classes nearly equal."""
    if logits.shape[-1] == 1:
        return
    add_up = (logits >= 0).all() & ((logits.float().sum(-1) - 1).abs() < 1e-2).all()
    if bool(add_up & (logits != logits.round()).any()):  # zeros and ones may be any scores
        warnings.warn(
            "TestTimeAugment.model: must return logits, got rows that are not negative and add up to 1, as "
            "probabilities do. Leave its softmax out, or write activation=None.",
            UserWarning,
            stacklevel=3,
        )


def check_chunk_size(chunk_size: int | None) -> None:
    """Raise ValueError unless None or at least 1."""
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
        activation: Activation | None = "softmax",
        output: OutputPicker = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model: must be callable, got {type(model).__name__}. Pass a module or a function.")
        check_method(method, weighted=weights is not None)
        check_activation(activation)
        check_chunk_size(chunk_size)
        check_output(output)
        if isinstance(weights, TTAWeights) and weights.activation != activation:
            raise ValueError(
                f"activation: must be that of the fit of the weights, {weights.activation!r}, got {activation!r}. "
                "Fit with the activation that you predict with."
            )
        self._model, self._method, self._chunk_size, self._activation = model, method, chunk_size, activation
        self._output = output
        self._temperature = weights.temperature if isinstance(weights, TTAWeights) else 1.0
        table = weights.weights if isinstance(weights, TTAWeights) else weights
        self._weights = None if table is None else check_weights(table)

    def predict_all(self, batches: Iterator[Batch]) -> Iterator[Prediction]:
        """Predictions, one for each batch; warns of batch-norm in train mode, and of probabilities for logits."""
        warn_of_batch_norms(self._model)
        classes = None
        for batch in batches:
            prediction = self._predicted(batch, classes=classes, warns=classes is None)
            classes = prediction.probabilities.shape[1]
            yield prediction

    def predict(self, batch: Batch) -> Prediction:
        """The batch's merged probabilities, float32, on the model's device.

        Raises:
            ValueError: If the batch is mixed, its views do not fit the weights, the model returns no logits, or a
                probability is NaN.
        """
        return self._predicted(batch, classes=None, warns=False)

    def _predicted(self, batch: Batch, *, classes: int | None, warns: bool) -> Prediction:
        targets = decoded(batch, "TestTimeAugment").targets
        if batch.mix is not None or not (targets is None or isinstance(targets, torch.Tensor)):
            raise ValueError("TestTimeAugment: needs images that were not mixed, got a mixed batch. Leave mixing out.")
        logits = view_logits(self._model, batch.images, batch.views, chunk_size=self._chunk_size, output=self._output)
        if classes is not None:
            check_classes(logits, classes)
        if warns and self._activation == "softmax":
            warn_of_probabilities(logits)
        with torch.no_grad():  # outside of inference mode, so that the result is an ordinary tensor
            merged = merge(
                logits,
                self._method,
                weights=self._weights,
                temperature=self._temperature,
                activation=self._activation,
            ).float()
        _refuse_nan(torch.isnan(logits).any(-1).any(0) | torch.isnan(merged).any(-1), logits, batch)
        if targets is not None:
            targets = targets.to(merged.device, non_blocking=True)
        return Prediction(merged, targets, batch.origin)


def refuse_nan(logits: torch.Tensor, batch: Batch) -> None:
    """Raise ValueError with the keys of the samples of a batch whose logits (V, B, K) have NaN."""
    _refuse_nan(torch.isnan(logits).any(-1).any(0), logits, batch)


def _refuse_nan(wrong: torch.Tensor, logits: torch.Tensor, batch: Batch) -> None:
    """Raise ValueError with the keys of the samples that have NaN, bool (B,), and what in their logits made it."""
    rows = torch.nonzero(wrong)[:, 0].tolist()
    if not rows:
        return
    reasons = {row: _reason(logits[:, row]) for row in rows}
    reason = next(reason for reason in _REASONS if reason in reasons.values())
    keys = [batch.origin.keys[row] for row in rows if reasons[row] == reason]
    shown = ", ".join(map(repr, keys[:10])) + (", …" if len(keys) > 10 else "")
    raise ValueError(
        f"{_REASONS[reason][0]}, got {reason} for {len(keys)} samples of epoch {batch.origin.epoch}, step "
        f"{batch.origin.step}: {shown}. {_REASONS[reason][1]}"
    )


_NUMBERS = "model: its logits must be numbers, or −∞ for a class without a chance"
_OVERFLOW = "Look for a division by zero in it, or for float16 that overflows."

#: What makes a probability NaN, the worst first: the rule that it breaks, and the fix.
_REASONS = {
    "NaN": (_NUMBERS, _OVERFLOW),
    "+∞": (_NUMBERS, _OVERFLOW),
    "−∞ for every class": (_NUMBERS, "Leave each sample a class that no view rules out."),
    "0 for every class": (
        "merge: some class must have a chance by the median, or by the weights",
        'The views are certain of different classes. Write merge="mean", without weights.',
    ),
}


def _reason(logits: torch.Tensor) -> str:
    """Why the merge of a sample's logits (V, K) is NaN."""
    if bool(torch.isnan(logits).any()):
        return "NaN"
    if bool((logits == torch.inf).any()):
        return "+∞"
    return "−∞ for every class" if bool((logits == -torch.inf).any(0).all()) else "0 for every class"
