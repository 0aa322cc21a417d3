"""The logits of all views of a whole evaluation, for fitting weights and for choosing views.

In: a model and the batches of a chain with views. Out: logits (V, N, K) and targets, in the order of the epoch, without
padding, on the CPU.
"""

from collections.abc import Iterable

import numpy as np
import torch

from streamaug.batch import Batch, decoded
from streamaug.tta.output import OutputPicker
from streamaug.tta.views import Model, check_classes, refuse_nan, view_logits, warn_of_batch_norms


def collect_logits(
    model: Model, batches: Iterable[Batch], *, chunk_size: int | None = None, output: OutputPicker = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a model on every view of every sample, and keep the logits of each view.

    Args:
        model: As in `TestTimeAugment`; call `model.eval()` before.
        batches: One pass of a chain that ends with `augment`, such as `reader.augment(recipes.imagenet_tta(…))`.
        chunk_size: Images that the model gets at once. None: one view of a batch.
        output: Where the logits are in the model's result, as in `TestTimeAugment`.

    Returns:
        Logits float32 (V, N, K) and targets (N, …), of this rank's samples by position, each once.

    Raises:
        ValueError: If there are no batches or no targets, or a logit is NaN.
    """
    logits: list[torch.Tensor] = []
    targets, positions = [], []
    warn_of_batch_norms(model)
    for batch in batches:
        values = view_logits(
            model, decoded(batch, "collect_logits").images, batch.views, chunk_size=chunk_size, output=output
        )
        refuse_nan(values, batch)
        if logits:
            check_classes(values, logits[0].shape[-1])
        if not isinstance(batch.targets, torch.Tensor):
            raise ValueError(  # noqa: TRY004
                "collect_logits.batches: must have targets, got none. Open the shards with their labels."
            )
        real = np.flatnonzero(~batch.origin.is_padding)
        logits.append(values.cpu()[:, real].float())
        targets.append(batch.targets.cpu()[real])
        positions.append(batch.origin.positions[real])
    if not logits:
        raise ValueError(
            "collect_logits.batches: there must be at least one, got none. Pass a chain, not its iterator."
        )
    order = torch.from_numpy(np.argsort(np.concatenate(positions), kind="stable"))
    return torch.cat(logits, 1)[:, order].clone(), torch.cat(targets)[order]
