"""Batches as they are delivered, of DALI's tensors and of what was prepared beside them.

In: a job and the tensors that DALI made of it. Out: a `Batch`, with boxes and keypoints where the engine reads any. It
counts the boxes that were clipped and left out.
"""

import warnings
from dataclasses import replace

import torch

from streamaug.batch import Batch
from streamaug.dali.prepare import Job


class Delivery:
    """Makes the batches of an engine.

    Attributes:
        clipped_boxes: Boxes so far that reached beyond their image and were clipped to it.
        dropped_boxes: Malformed boxes that were left out so far.
    """

    def __init__(self) -> None:
        self.clipped_boxes = 0
        self.dropped_boxes = 0

    def batch(self, job: Job, tensors: list[torch.Tensor], *, uploads: bool) -> Batch:
        """The batch of a job.

        Args:
            job: What was prepared.
            tensors: DALI's outputs, one for each part of the views.
            uploads: Whether the targets go to the device of the images.
        """
        output = job.preparer.layout.recipe.output
        if output.channels_last:
            tensors = [tensor.permute(0, 3, 1, 2) for tensor in tensors]
        images = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        if output.dtype == "bfloat16":
            images = images.to(torch.bfloat16)
        targets = job.targets
        if targets is not None and uploads:
            targets = targets.to(images.device, non_blocking=True)
        batch = Batch(
            images=images,
            targets=targets,
            origin=job.batch.origin,
            views=len(job.preparer.layout.views),
            extras=job.batch.extras,
        )
        return self._annotated(batch, job)

    def _annotated(self, batch: Batch, job: Job) -> Batch:
        """The batch with the boxes and keypoints of its pictures, if the engine reads any."""
        annotator = job.preparer.annotator
        if annotator is None:
            return batch
        moved = annotator.transform(job.notes, job.headers, job.plan)
        self.clipped_boxes += moved.clipped
        if moved.dropped and not self.dropped_boxes:
            warnings.warn(
                f"Annotations.on_bad_box: {moved.dropped} malformed boxes were left out in a batch, and more may be "
                'without a word. See Augmenter.dropped_boxes, or write on_bad_box="sample" to be told of each.',
                UserWarning,
                stacklevel=2,
            )
        self.dropped_boxes += moved.dropped
        return replace(batch, boxes=moved.boxes, box_labels=moved.labels, keypoints=moved.keypoints)
