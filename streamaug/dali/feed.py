"""From an encoded batch to what DALI is fed: bad rows replaced, labels parsed, the plan made.

In: an `EncodedBatch`. Out: a `Job`, which is kept until its batch is delivered, so that it can be run again.
"""

import re
from collections.abc import Sequence
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
from streamaug.ops.annotations import Annotations
from streamaug.ops.base import Node

_INTEGER = re.compile(rb"\s*[+-]?[0-9]{1,18}\s*")


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
    """

    def __init__(self, layout: Layout, annotations: Annotations | None = None, *, turns: bool = True) -> None:
        self.layout = layout
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
        while True:
            headers = [inspect(data, orientation=turned) for data in batch.data]
            targets, problems = _parse_targets(batch, self._note_component)
            notes: list[Note] = []
            if self.annotator is not None:
                notes, malformed = self.annotator.read(batch)
                problems |= malformed
            problems |= {row: Problem(h, BadSampleError) for row, h in enumerate(headers) if isinstance(h, str)}
            if not problems:
                break
            batch = replace(batch, problems)
        good = [header for header in headers if isinstance(header, Header)]
        plan = self._planner.plan(good, batch.origin, batch.attempts)
        wrap = import_module("nvidia.dali.tensors").TensorCPU  # what `external_source` would make of any buffer
        arrays = ([wrap(data) for data in batch.data], *plan.feeds.values())
        return Job(batch, self, good, plan, None if targets is None else torch.from_numpy(targets), notes, arrays)


def _parse_targets(batch: EncodedBatch, notes: str | None) -> tuple[npt.NDArray[np.int64] | None, dict[int, Problem]]:
    """The second component as integers (B,), and the rows where it is none; no label where that is the annotation."""
    if not batch.extras or next(iter(batch.extras)) == notes:
        return None, {}
    name, values = next(iter(batch.extras.items()))
    problems: dict[int, Problem] = {}
    targets = np.zeros(len(values), np.int64)
    for row, value in enumerate(values):
        text = bytes(value)
        if _INTEGER.fullmatch(text):
            targets[row] = int(text)
        else:
            shown = text[:20].decode("ascii", "backslashreplace")
            reason = f"its label, component {name!r}, must be an ASCII integer, got {shown!r}"
            problems[row] = Problem(reason, TargetError)
    return targets, problems
