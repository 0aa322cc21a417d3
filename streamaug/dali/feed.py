"""From an encoded batch to what DALI is fed: bad rows replaced, labels parsed, the plan made.

In: an `EncodedBatch`. Out: a `Job`, which is kept until its batch is delivered, so that it can be run again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from streamaug.batch import EncodedBatch, Origin, Problem, Replace
from streamaug.dali.annotations import Annotator, Note
from streamaug.dali.layout import Layout
from streamaug.dali.plan import Plan, Planner
from streamaug.errors import BadSampleError, TargetError
from streamaug.image_header import Header, inspect
from streamaug.labels import parse_label
from streamaug.ops.annotations import Annotations
from streamaug.ops.base import Node


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A batch under way, with all that is needed to run it again.

    Attributes:
        batch: The batch, every row good as far as bytes tell.
        preparer: What prepared it.
        headers: The rows' image headers.
        plan: What is done to it.
        targets: int64 (B,), None without a label component.
        notes: The rows' annotations, empty where none are read.
        arrays: What DALI is fed: B encoded images, then the plan's feeds in order.
    """

    batch: EncodedBatch
    preparer: "Preparer"
    headers: Sequence[Header]
    plan: Plan
    targets: torch.Tensor | None
    notes: Sequence[Note]
    arrays: Sequence[Any]

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.batch.data)


class Preparer:
    """Prepares the batches of one recipe.

    Args:
        layout: The recipe's layout.
        annotations: How boxes and keypoints are read, if they are.
        turns: Whether samples may be resized lying on their side, see `Planner`.
        num_classes: Labels must be below it; None: any class number will do.
    """

    def __init__(
        self,
        layout: Layout,
        annotations: Annotations | None = None,
        *,
        turns: bool = True,
        num_classes: int | None = None,
    ) -> None:
        self.layout = layout
        self._num_classes = num_classes
        self.annotator = None if annotations is None else Annotator(annotations, layout)
        self._note_component = None if annotations is None else annotations.component
        self._planner = Planner(layout, turns=turns)
        nothing = np.zeros(1, np.int64)
        example = Origin(0, 0, 0, 1, nothing, nothing, ("",), nothing > 0, nothing > 0)
        #: Names of the graph's inputs beside the encoded images, in order.
        self.names = tuple(self._planner.plan([Header(64, 64)], example, None).feeds)

    def named(self, nodes: Sequence[Node]) -> dict[str, Node]:
        """The nodes of the graph's inputs by name."""
        return dict(zip(self.names, nodes, strict=True))

    def prepare(self, batch: EncodedBatch, replace: Replace) -> Job:
        """Replace bad rows until none is left, then plan.

        Raises:
            BadSampleError: As `replace` does.
        """
        turned = self.layout.recipe.apply_orientation
        headers: list[Header | str] = [""] * len(batch.data)
        rows: Iterable[int] = range(len(batch.data))
        while True:
            for row in rows:  # those that changed: many attempts may be needed, and the others stay as they are
                headers[row] = inspect(batch.data[row], orientation=turned)
            targets, problems = self._targets(batch)
            notes: list[Note] = []
            if self.annotator is not None:
                notes, malformed = self.annotator.read(batch)
                problems |= malformed
            for row, header in enumerate(headers):
                if isinstance(header, str):
                    problems[row] = Problem(header, BadSampleError, lasting=True)
            if not problems:
                break
            batch, rows = replace(batch, problems), problems
        good = [header for header in headers if isinstance(header, Header)]
        plan = self._planner.plan(good, batch.origin, batch.attempts)
        wrap = import_module("nvidia.dali.tensors").TensorCPU  # what `external_source` would make of any buffer
        arrays = ([wrap(data) for data in batch.data], *plan.feeds.values())
        return Job(batch, self, good, plan, None if targets is None else torch.from_numpy(targets), notes, arrays)

    def _targets(self, batch: EncodedBatch) -> tuple[npt.NDArray[np.int64] | None, dict[int, Problem]]:
        """The second component as class numbers (B,), and the rows where it is none; None where it is no label."""
        if not batch.extras or next(iter(batch.extras)) == self._note_component:
            return None, {}
        name, values = next(iter(batch.extras.items()))
        problems: dict[int, Problem] = {}
        targets = np.zeros(len(values), np.int64)
        for row, text in enumerate(values):
            try:
                targets[row] = parse_label(text, self._num_classes)
            except ValueError as reason:
                problems[row] = Problem(f"its label, component {name!r}, {reason}", TargetError, name, lasting=True)
        return targets, problems
