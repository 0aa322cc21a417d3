"""A recipe: operations in order, the views of an evaluation, and the output format. Pure data.

In: the user's operations. Out: a frozen, comparable value that has checked its rules; `streamaug.dali` runs it. It
draws nothing and touches no pixels.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streamaug.errors import RecipeError
from streamaug.ops.base import Color, Geometric, Operation, Photometric, StaticFrame
from streamaug.recipes import records
from streamaug.recipes.output import Output

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """Applies operations in the order written, all geometry in one resample.

    Args:
        operations: The operations. The first must set the frame's size (flips may precede it), and the output must have
            a fixed size. Geometry may be written after photometry that works on each pixel alone, and is then done
            before it; after anything spatial (erasing, noise, blur) it is an error.
        output: Type, normalisation and layout of the images.
        views: For evaluation: one sequence of operations per view, each applied after `operations`. All views come from
            one decode, and must end at the same size. Empty: one view.

    Attributes:
        size: (height, width) of the output in pixels.

    Raises:
        RecipeError: If the order breaks a rule, borders or interpolations disagree, or sizes do not fit.
    """

    operations: Sequence[Operation]
    output: Output = field(default_factory=Output)
    views: Sequence[Sequence[Operation]] = ()
    size: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given: tuple[tuple[str, str, object], ...] = (
            ("operations", "[ops.Resize(224)]", self.operations),
            ("views", "[[ops.CenterCrop(224)]]", self.views),
        )
        for name, what, value in given:
            if not isinstance(value, Iterable) or isinstance(value, str):
                raise RecipeError(f"Recipe.{name}: must be a sequence, got {value!r}. Write {what}.")
        object.__setattr__(self, "operations", tuple(self.operations))
        object.__setattr__(self, "views", tuple(tuple(view) for view in self.views))
        for operation in [*self.operations, *(operation for view in self.views for operation in view)]:
            if not isinstance(operation, Geometric | Photometric):
                raise RecipeError(f"Recipe.operations: must be operations, got {operation!r}. Write ops.Resize(224).")
        if not isinstance(self.output, Output):
            raise RecipeError(f"Recipe.output: must be an Output, got {self.output!r}. Write Output().")
        for operation in (operation for branch in self.branches for operation in branch):
            if isinstance(operation, Photometric) and operation.finishes and self.output.std is None:
                raise RecipeError(
                    f"Recipe.output: must have mean and std for {operation!r}, which paints normal noise after "
                    f"normalising, got {self.output!r}. Write Output(mean=127.5, std=64.0)."
                )
        sizes = {self._check(branch) for branch in self.branches}
        if len(sizes) > 1:
            raise RecipeError(f"Recipe.views: all must have one size, got {sorted(sizes)}. Crop each to the same size.")
        object.__setattr__(self, "size", sizes.pop())

    @property
    def branches(self) -> tuple[tuple[Operation, ...], ...]:
        """The whole sequence of operations of each view; a single sequence for a recipe without views."""
        return tuple((*self.operations, *view) for view in self.views or [()])

    @property
    def apply_orientation(self) -> bool:
        """Whether images are turned as their EXIF orientation says."""
        return any(getattr(operation, "apply_orientation", False) for operation in self.operations)

    def describe(self) -> str:
        """A table of the operations: name, kind, chance, and the parameters that differ from the defaults."""
        rows = [("operation", "kind", "chance", "parameters")]
        rows.extend(row for operation in self.operations for row in _rows(operation))
        for number, view in enumerate(self.views):
            rows.append((f"view {number}", "", "", "" if view else "as it is"))
            rows.extend(row for operation in view for row in _rows(operation, indent="  "))
        height, width = self.size
        numbers = [f"{name} {getattr(self.output, name)}" for name in ("mean", "std") if getattr(self.output, name)]
        layout = ["channels last"] if self.output.channels_last else []
        rows.append(("output", self.output.dtype, "", ", ".join([f"3×{height}×{width}", *numbers, *layout])))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def to_json(self) -> str:
        """The recipe as JSON, to keep in a checkpoint; `from_json` reads it."""
        record = {
            "version": _VERSION,
            "operations": [records.to_record(operation) for operation in self.operations],
            "views": [[records.to_record(operation) for operation in view] for view in self.views],
            "output": asdict(self.output),
        }
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str, *, operations: Iterable[type[Operation]] = ()) -> "Recipe":
        """The recipe that `to_json` wrote.

        Args:
            text: The JSON.
            operations: Classes of operations of your own that occur in it.

        Raises:
            RecipeError: If it is not such JSON, or names unknown operations or fields.
        """
        try:
            record = json.loads(text)
            version = record["version"]
            listed, views, output = record["operations"], record["views"], record["output"]
        except (ValueError, TypeError, KeyError) as error:
            raise RecipeError(
                f"Recipe.from_json: must be what to_json wrote, got {text[:60]!r}. Save it anew."
            ) from error
        if version != _VERSION:
            raise RecipeError(f"Recipe.from_json: must be of version {_VERSION}, got {version!r}. Save it anew.")
        own = tuple(operations)
        return cls(
            [records.from_record(operation, own) for operation in listed],
            output=Output(**output),
            views=[[records.from_record(operation, own) for operation in view] for view in views],
        )

    def _check(self, branch: Sequence[Operation]) -> tuple[int, int]:
        _check_order(branch)
        border(branch)
        resampling(branch)
        frame: StaticFrame | None = None
        for operation in branch:
            if isinstance(operation, Geometric):
                frame = operation.static_frame(frame)
        if frame is None or not frame.exact:
            raise RecipeError(
                f"Recipe.operations: the output must have a fixed size, got {list(branch)!r}. "
                "Begin with RandomResizedCrop or Resize, or put a CenterCrop after ResizeShortest."
            )
        return frame.height, frame.width


def _rows(operation: Operation, indent: str = "") -> list[tuple[str, str, str, str]]:
    """An operation's rows in `Recipe.describe`: name, kind, chance, parameters; inner operations follow, indented."""
    kinds = [
        name for has, name in ((operation.moves_pixels, "geometry"), (operation.changes_values, "photometry")) if has
    ]
    inner: list[Operation] = []
    shown = []
    for name, value in records.changed(operation).items():
        members = value if isinstance(value, tuple) else (value,)
        if members and all(isinstance(member, Operation) for member in members):
            inner.extend(members)
        else:
            shown.append(f"{name} {value}")
    row = (indent + type(operation).__name__, " and ".join(kinds), f"{operation.probability:g}", ", ".join(shown))
    return [row, *(each for member in inner for each in _rows(member, indent + "  "))]


def _check_order(branch: Sequence[Operation]) -> None:
    """Check that geometry comes before spatial operations, and after an operation that sets the frame's size."""
    spatial: Operation | None = None
    frame: StaticFrame | None = None
    for operation in branch:
        if isinstance(operation, Geometric) and operation.moves_pixels:
            name = type(operation).__name__
            if spatial is not None:
                raise RecipeError(
                    f"Recipe.operations: geometry must come before {type(spatial).__name__}, got {name} after it. "
                    f"Move {name} to the front."
                )
            frame = operation.static_frame(frame)
            if frame is None and not operation.aligned:
                raise RecipeError(
                    f"Recipe.operations: the first operation must set a size, got {name} before any that does. "
                    "Begin with RandomResizedCrop, Resize or ResizeShortest."
                )
        if isinstance(operation, Photometric) and operation.changes_values and operation.spatial:
            spatial = operation


def border(branch: Sequence[Operation]) -> tuple[str, Color] | None:
    """The common (mode, fill) of a sequence of operations, None without a border; RecipeError where two disagree.

    An operation without a border takes that of another; a fill alone means a constant border.
    """
    geometric = [each for operation in branch if isinstance(operation, Geometric) for each in operation.alternatives()]
    borders = [(type(operation).__name__, operation.shows()) for operation in geometric]
    modes: dict[str, str] = {}
    fills: dict[Color, str] = {}
    for name, shown in borders:
        if shown is not None and (shown.mode is not None or shown.fill is not None):
            modes.setdefault(shown.mode or "constant", name)
            if (shown.mode or "constant") == "constant" and shown.fill is not None:
                fills.setdefault(shown.fill, name)
    _refuse_second("border", modes)
    _refuse_second("fill", fills)
    if all(shown is None for _, shown in borders):
        return None
    return next(iter(modes), "constant"), next(iter(fills), 0.0)


def _refuse_second(parameter: str, owners: Mapping[Any, str]) -> None:
    """Refuse a second value of a border's parameter; `owners` maps each value to the operation that names it."""
    if len(owners) > 1:
        (first, owner), (second, other) = list(owners.items())[:2]
        raise RecipeError(
            f"Recipe.operations: the borders of all operations that name one must agree, got {parameter}={first!r} in "
            f"{owner} and {second!r} in {other}. Give both the same, or leave one out."
        )


def resampling(branch: Sequence[Operation]) -> tuple[str, bool]:
    """The common (interpolation, antialias) of a sequence of operations; RecipeError where two disagree."""
    asked = [
        (operation.interpolation, operation.antialias)
        for operation in branch
        if isinstance(operation, Geometric) and operation.interpolation is not None
    ]
    if len(set(asked)) > 1:
        raise RecipeError(
            f"Recipe.operations: interpolation and antialias of all resizes must agree, got {sorted(set(asked))}. "
            "Give all the same."
        )
    return asked[0] if asked else ("bilinear", True)
