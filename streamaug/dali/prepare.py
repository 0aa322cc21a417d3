"""From an encoded batch to DALI's inputs: replaces bad rows, parses labels, makes the plan.

In: an `EncodedBatch`. Out: a `Job`, which is kept until its batch is delivered, so that it can be run again. Where a
batch needs no code of the user's, another thread may prepare it (`prepare_ahead`).
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from streamaug.batch import EncodedBatch, Origin
from streamaug.dali.annotations import Annotator
from streamaug.dali.decodable import UndecodableError, decodable
from streamaug.dali.known_headers import KnownHeaders
from streamaug.dali.layout import Layout
from streamaug.dali.plan import Plan, Planner
from streamaug.encoded import Encoded
from streamaug.errors import BadSampleError, RecipeError, TargetError
from streamaug.ops import RandomChoice
from streamaug.ops.base import Operation
from streamaug.ops.nodes import Node, dali_tensors
from streamaug.recipes.annotations import Annotations
from streamaug.samples.annotation import Note
from streamaug.samples.image_header import Header, inspect
from streamaug.samples.label import parse_label
from streamaug.samples.problem import Problem, Replace
from streamaug.samples.target import TargetFunction, checked_target, stacked_targets

#: The image of rows without an image: a pixel, not encoded.
_FILLER = np.zeros(3, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A batch under way, with all that is needed to run it again.

    Attributes:
        batch: The batch; every row is good as far as its bytes tell.
        preparer: The preparer that made the job.
        headers: The rows' image headers.
        plan: The numbers of the batch.
        targets: int64 (B,), or (B, …) of a function; None without targets.
        notes: The rows' annotations, empty where the stage reads no annotations.
        arrays: DALI's inputs: B encoded images, with fillers behind them where the plan's feeds have more rows; then
            these feeds in order.
        inputs: The same as DALI's own lists of tensors, which share their memory and are fed without further ado.
    """

    batch: EncodedBatch
    preparer: "Preparer"
    headers: Sequence[Header]
    plan: Plan
    targets: torch.Tensor | None
    notes: Sequence[Note]
    arrays: Sequence[Any]
    inputs: Sequence[Any]

    @property
    def size(self) -> int:
        """Images."""
        return len(self.batch.data)

    @property
    def rows(self) -> int:
        """Samples of DALI's batch, more where views are cut from one resized image (`Layout.rows_per_image`)."""
        return len(self.arrays[0])


class Preparer:
    """Prepares the batches of one recipe.

    Args:
        layout: The recipe's layout.
        annotations: How to read boxes and keypoints; None: none are read.
        num_classes: Labels must be below it; None: any class number is valid.
        targets: How targets come from the second component: as a "label", not at all (None), or by a function.
        num_threads: Images that Pillow decodes at a time, where DALI cannot.
        known: Headers by sample id; None where a sample id may stand for other bytes.
    """

    def __init__(
        self,
        layout: Layout,
        annotations: Annotations | None = None,
        *,
        num_classes: int | None = None,
        targets: TargetFunction | Literal["label"] | None = "label",
        num_threads: int = 1,
        known: KnownHeaders | None = None,
    ) -> None:
        self.layout = layout
        self._known = known
        #: Whether `prepare_ahead` calls no function of the user's: no targets of theirs, no operation of their own.
        self.runs_ahead = not callable(targets) and all(
            _is_of_package(operation) for branch in layout.recipe.branches for operation in branch
        )
        self._num_threads = num_threads
        self._target = _target(targets, num_classes)
        self._target_types: set[np.dtype[Any]] = set()
        self.annotator = None if annotations is None else Annotator(annotations, layout)
        self._note_component = None if annotations is None else annotations.component
        geometric = [each for geometry in layout.geometries for _, each in geometry.operations]
        self._keeping = next((each for each in geometric if each.keeps_boxes), None)
        self._planner = Planner(layout)
        nothing = np.zeros(1, np.int64)
        example = Origin(0, 0, 0, 1, nothing, nothing, ("",), nothing > 0, nothing > 0)
        #: Names of the graph's inputs beside the encoded images, in order.
        self.names = tuple(self._planner.plan([Header(64, 64)], example, None).feeds)

    def named(self, nodes: Sequence[Node]) -> dict[str, Node]:
        """The nodes of the graph's inputs by name."""
        return dict(zip(self.names, nodes, strict=True))

    def prepare(self, batch: EncodedBatch, replace: Replace) -> Job:
        """Replace bad rows until all are good, then plan.

        Raises:
            BadSampleError: As `replace` does.
            RecipeError: If an operation depends on boxes, and no annotations are read.
        """
        return self._prepared(batch, replace)

    def prepare_ahead(self, batch: EncodedBatch) -> Job | None:
        """`prepare` for another thread: None for a batch with a bad row or a row that Pillow must decode."""
        try:
            return self._prepared(batch, None)
        except _UndecidedError:
            return None

    def _prepared(self, batch: EncodedBatch, replace: Replace | None) -> Job:
        """The job of a batch; without `replace` only that of a batch whose rows are all good and ordinary."""
        if self._keeping is not None and self.annotator is None:
            raise RecipeError(
                f"augment.annotations: must say where the boxes are that {type(self._keeping).__name__} keeps, got "
                "None. Write annotations=Annotations()."
            )
        headers: list[Header | str] = [""] * len(batch.data)
        images: list[Encoded] = list(batch.data)
        targets: list[npt.NDArray[Any]] = [np.zeros(0)] * len(batch.data)
        rows: Sequence[int] = range(len(batch.data))
        while True:
            # Only the rows that changed: many attempts may be needed, and the others stay the same.
            self._read_headers(batch, rows, headers)
            if replace is None and any(isinstance(header, str) or header.unlike for header in headers):
                raise _UndecidedError
            self._make_decodable(batch, rows, headers, images)
            problems = self._read_targets(batch, rows, targets)
            notes: list[Note] = []
            if self.annotator is not None:
                notes, malformed = self.annotator.read(batch)
                problems |= malformed
            for row, header in enumerate(headers):
                if isinstance(header, str):
                    problems[row] = Problem(header, BadSampleError, lasting=True)
            if not problems:
                break
            if replace is None:
                raise _UndecidedError
            batch, rows = replace(batch, problems), list(problems)
        good = [header for header in headers if isinstance(header, Header)]
        kept = self.annotator.around_boxes(notes, good) if self.annotator is not None and self._keeping else None
        plan = self._planner.plan(good, batch.origin, batch.attempts, kept)
        wrap = dali_tensors().TensorCPU  # `external_source` would make this of any buffer
        fillers = [wrap(_FILLER)] * (len(images) * (self.layout.rows_per_image - 1))
        arrays = ([*map(wrap, images), *fillers], *plan.feeds.values())
        tensor = torch.from_numpy(self._stacked(targets)) if self._target_component(batch) is not None else None
        return Job(batch, self, good, plan, tensor, notes, arrays, [tensor_list(array) for array in arrays])

    def _read_headers(self, batch: EncodedBatch, rows: Sequence[int], headers: list[Header | str]) -> None:
        """Put the headers of some rows into `headers`, or the reason why a row has no valid header."""
        oriented, known = self.layout.recipe.apply_orientation, self._known
        ids, images = batch.origin.sample_ids[list(rows)], [batch.data[row] for row in rows]
        found = [None] * len(rows) if known is None else known.find(ids, images)
        read: dict[int, Header] = {}
        for number, (row, before) in enumerate(zip(rows, found, strict=True)):
            header = before or inspect(images[number], orientation=oriented)
            headers[row] = header
            if before is None and isinstance(header, Header):
                read[number] = header
        if known is not None and read:
            known.keep(ids[list(read)], [images[number] for number in read], list(read.values()))

    def _make_decodable(
        self, batch: EncodedBatch, rows: Iterable[int], headers: list[Header | str], images: list[Encoded]
    ) -> None:
        """Put the bytes that DALI decodes of some rows into `images`, or the reason against them into `headers`."""
        good = [(row, header) for row in rows if isinstance(header := headers[row], Header)]
        pictures = decodable([(batch.data[row], header) for row, header in good], num_threads=self._num_threads)
        for (row, _), picture in zip(good, pictures, strict=True):
            if isinstance(picture, UndecodableError):
                headers[row] = str(picture)
            else:
                images[row] = picture

    def _target_component(self, batch: EncodedBatch) -> str | None:
        """The component from which targets come: the second, unless it holds the annotations."""
        name = next(iter(batch.extras), None)
        return None if self._target is None or name == self._note_component else name

    def _read_targets(
        self, batch: EncodedBatch, rows: Iterable[int], targets: list[npt.NDArray[Any]]
    ) -> dict[int, Problem]:
        """Put the targets of some rows into `targets`; returns the problems of rows without a target."""
        name, problems = self._target_component(batch), {}
        if name is None or self._target is None:
            return {}
        for row in rows:
            try:
                targets[row] = self._target(bytes(batch.extras[name][row]))
            except _UnusableLabelError as reason:
                problems[row] = Problem(f"its label, component {name!r}, {reason}", TargetError, name, lasting=True)
            except Exception as error:  # noqa: BLE001 - the user's function decides which samples are bad
                failure = f"augment.targets failed for its component {name!r} ({type(error).__name__}: {error})"
                problems[row] = Problem(failure, TargetError, name, lasting=True, cause=error)
        return problems

    def _stacked(self, targets: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The targets of a batch, (B, …); a warning where their type is not that of all samples so far."""
        types = {target.dtype for target in targets}
        if not types <= self._target_types:
            self._target_types |= types
            if len(self._target_types) > 1:
                warnings.warn(
                    "augment.targets: should return numbers of one type for all samples, got "
                    f"{' and '.join(sorted(map(str, self._target_types)))}, so that the type of a batch depends on its "
                    "samples. Return float(…) from all of them, or int(…).",
                    UserWarning,
                    stacklevel=2,
                )
        return stacked_targets(targets)


class _UndecidedError(Exception):
    """The thread that takes batches must decide about a batch's rows."""


def _is_of_package(operation: Operation) -> bool:
    """Whether an operation, and each operation inside a choice, is of this package."""
    members = operation.operations if isinstance(operation, RandomChoice) else ()
    return type(operation).__module__.startswith("streamaug.") and all(map(_is_of_package, members))


class _UnusableLabelError(Exception):
    """The reason why a component is no class number."""


def tensor_list(values: Any) -> Any:
    """Values of a batch as DALI's list of tensors, from an array (B, ...) or from B arrays or tensors."""
    tensors = dali_tensors()
    if not isinstance(values, list):
        return tensors.TensorListCPU(values)
    wrapped = [value if isinstance(value, tensors.TensorCPU) else tensors.TensorCPU(value) for value in values]
    return tensors.TensorListCPU(wrapped, contiguous=False)


def _label(text: bytes, *, num_classes: int | None) -> npt.NDArray[np.int64]:
    try:
        return np.array(parse_label(text, num_classes), np.int64)
    except ValueError as reason:
        raise _UnusableLabelError(str(reason)) from None


def _target(
    targets: TargetFunction | Literal["label"] | None, num_classes: int | None
) -> Callable[[bytes], npt.NDArray[Any]] | None:
    """The function from a component's bytes to the target of a sample; None without targets."""
    if targets is None:
        return None
    if targets == "label":
        return partial(_label, num_classes=num_classes)
    return partial(_user_target, function=targets)


def _user_target(text: bytes, *, function: TargetFunction) -> npt.NDArray[Any]:
    return checked_target(function(text))
