"""One of several operations for each sample.

In: two uniform draws per sample, for the operation and for whether it is applied, and the operation's own draws. Out:
the matrix of the chosen operation, and branches of the graph, each of which runs on the samples that chose it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.geometry import Matrices, identity
from streamaug.ops import fields
from streamaug.ops.base import Border, Draws, Extent, Flags, Geometric, Operation, Parameters, Photometric
from streamaug.ops.fields import refuse
from streamaug.ops.nodes import Arguments, Node, with_prefix


@dataclass(frozen=True, slots=True)
class RandomChoice(Geometric, Photometric):
    """Apply one of several operations, drawn for each sample; the chosen operation keeps its own probability.

    A choice with a geometric operation counts as geometry, and is done with the recipe's other geometry.

    Args:
        operations: The operations to choose from. None of them may set or change the frame's size, as crops do.
        weights: The operations' chances, in proportion: at least 0, not all 0; None: equal.
        probability: Chance that any of them is applied at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    operations: Sequence[Operation]
    _: KW_ONLY
    weights: Sequence[float] | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        listed = self.operations
        members = tuple(listed) if isinstance(listed, tuple | list) else ()
        if not members or not all(isinstance(member, Geometric | Photometric) for member in members):
            fix = "Write (ops.Invert(), ops.AutoContrast())."
            raise refuse(self, "operations", "must be operations, at least one", fix)
        for member in members:
            if isinstance(member, Geometric) and _changes_frame(member):
                must = f"must leave the frame's size as it is, which {type(member).__name__} does not"
                raise refuse(self, "operations", must, f"Put {type(member).__name__} in front of the choice.")
        object.__setattr__(self, "operations", members)
        if self.weights is not None:
            fields.weights(self, "weights", len(members))
        fields.probability(self)

    # Its kind follows from the kinds of its operations.

    @property
    def draws(self) -> int:
        """The operation, whether it is applied, and as many numbers as the most demanding operation needs."""
        return 2 + max(member.draws for member in self.operations)

    @property
    def moves_pixels(self) -> bool:
        return any(member.moves_pixels for member in self.operations)

    @property
    def changes_values(self) -> bool:
        return any(member.changes_values for member in self.operations)

    @property
    def aligned(self) -> bool:
        return all(member.aligned for member in self._geometric)

    @property
    def flips(self) -> str:
        return "".join(sorted({letter for member in self._geometric for letter in member.flips}))

    @property
    def spatial(self) -> bool:
        return any(member.spatial for member in self._photometric)

    @property
    def finishes(self) -> bool:
        return any(member.finishes for member in self._photometric)

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs of its operations: by their number in the choice, and of a policy's steps by their names alone."""
        listed = [(number, name) for number, each in enumerate(self.operations) for name in _inputs(each)]
        return frozenset({f"{number}:{name}" for number, name in listed} | {name for _, name in listed})

    def alternatives(self) -> tuple[Geometric, ...]:
        return tuple(each for member in self._geometric for each in member.alternatives())

    def shows(self) -> Border | None:
        """The border of the first operation with a border; a recipe checks that all agree."""
        return next((shown for each in self._geometric if (shown := each.shows()) is not None), None)

    def exposes(self, draws: Draws) -> Flags:
        out = np.zeros(len(draws), np.bool_)
        for turn in self._turns(draws):
            if isinstance(turn.operation, Geometric):
                out[turn.rows] = turn.operation.exposes(turn.draws)
        return out

    @property
    def _geometric(self) -> list[Geometric]:
        return [member for member in self.operations if isinstance(member, Geometric) and member.moves_pixels]

    @property
    def _photometric(self) -> list[Photometric]:
        return [member for member in self.operations if isinstance(member, Photometric) and member.changes_values]

    # The effect on a sample is that of its chosen operation.

    def _turns(self, draws: Draws) -> "Iterator[_Turn]":
        """Each operation, with the samples that chose it and that its own probability selects."""
        weights = np.ones(len(self.operations)) if self.weights is None else np.asarray(self.weights)
        limits = np.cumsum(weights)
        number = np.searchsorted(limits / limits[-1], draws[:, 0], side="right")
        for turn, member in enumerate(self.operations):
            rows = np.flatnonzero((number == turn) & (draws[:, 1] < member.probability))
            yield _Turn(turn, member, rows, draws[rows, 2 : 2 + member.draws])

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        total = identity(len(draws))
        for turn in self._turns(draws):
            if isinstance(turn.operation, Geometric) and turn.operation.moves_pixels and len(turn.rows):
                total[turn.rows] = turn.operation.matrix(turn.draws, height[turn.rows], width[turn.rows])
        return total

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """For operation i: `i`, the samples that it changes, and its parameters as `i:name`, of all samples."""
        out: Parameters = {}
        for turn in self._turns(draws):
            if isinstance(turn.operation, Photometric) and turn.operation.changes_values:
                selected = np.zeros(len(draws), np.bool_)
                selected[turn.rows] = True
                out[f"{turn.number}"] = selected
                numbers = draws[:, 2 : 2 + turn.operation.draws]
                for name, values in turn.operation.parameters(numbers, height, width).items():
                    out[f"{turn.number}:{name}"] = values
        return out

    def build(self, image: Node, arguments: Arguments) -> Node:
        for selected, member, mine in self._branches(arguments):
            image = mine.where(selected, image, member.build)
        return image

    def finish(self, image: Node, arguments: Arguments, channels_first: bool) -> Node:
        for selected, member, mine in self._branches(arguments):
            if member.finishes:
                image = mine.where(selected, image, partial(member.finish, channels_first=channels_first))
        return image

    def _branches(self, arguments: Arguments) -> Iterator[tuple[Node, Photometric, Arguments]]:
        """Each photometric operation with the node that selects its samples, and its arguments."""
        for number, member in enumerate(self.operations):
            if isinstance(member, Photometric) and member.changes_values:
                mine = replace(arguments, nodes=with_prefix(arguments.nodes, f"{number}:"))
                yield arguments[f"{number}"], member, mine

    def hides(self, draws: Draws, points: npt.NDArray[np.float64], height: int, width: int) -> Flags:
        out = np.zeros(len(points), np.bool_)
        for turn in self._turns(draws):
            if isinstance(turn.operation, Photometric) and len(turn.rows):
                out[turn.rows] = turn.operation.hides(turn.draws, points[turn.rows], height, width)
        return out


class _Turn(NamedTuple):
    """One operation's part of a batch.

    Attributes:
        number: Its index.
        operation: The operation.
        rows: int64 (n,), the samples that it changes.
        draws: float64 (n, `operation.draws`), their random numbers.
    """

    number: int
    operation: Operation
    rows: npt.NDArray[np.int64]
    draws: Draws


def _inputs(operation: Operation) -> frozenset[str]:
    return operation.inputs if isinstance(operation, Photometric) else frozenset()


def _changes_frame(operation: Geometric) -> bool:
    """Whether the operation overrides a method for the frame's size."""
    kind: Any = type(operation)
    return kind.frame is not Geometric.frame or kind.static_frame is not Geometric.static_frame
