"""Boxes and keypoints beside the images: the component that holds them, and their format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamaug.errors import RecipeError

BOX_FORMATS = ("xyxy", "xywh", "cxcywh")
ON_BAD_BOX = ("sample", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """How to read a JSON component, and which boxes to keep.

    Args:
        component: Name of the component, with which the shards were opened.
        boxes: Its key for the boxes, a list of four numbers each.
        box_format: "xyxy", "xywh" or "cxcywh" (the last with the centre).
        normalized: Whether coordinates are fractions of the image's size rather than pixels. Either way they are of the
            image as the recipe sees it: turned by EXIF if `apply_orientation` is set, else as stored.
        labels: Its key for the boxes' class numbers, or names.
        keypoints: Its key for the keypoints, for each object a list of (x, y, visibility), or as in COCO one list of x,
            y, visibility, x, …
        objects: Its key for a list of objects, each of which has its own box, label and keypoints under the keys above,
            as COCO's `annotations` (`boxes="bbox", box_format="xywh", labels="category_id"`); None: the keys above hold
            lists. A component that is a JSON list is such a list, whatever this says.
        label_names: Class numbers of labels: a mapping from names (or from numbers, as COCO's category ids) to class
            numbers, or the names in order, from 0. Other names, and other numbers if it holds numbers, are malformed.
        on_bad_box: The treatment of a malformed box, label or list of keypoints. "sample": the sample is bad. "drop":
            that box is left out with its label and its keypoints, and counted (`Augmenter.dropped_boxes`).
        flip_pairs: Pairs of keypoint numbers that a mirroring exchanges, such as left and right eye.
        min_area: Boxes with fewer output pixels are dropped.
        min_visibility: Boxes of which a smaller fraction is still in view are dropped, 0..1.

    Raises:
        RecipeError: If the format is unknown, a bound is out of range, or `label_names` is no such table.
    """

    component: str = "json"
    boxes: str = "boxes"
    box_format: str = "xyxy"
    normalized: bool = False
    labels: str = "labels"
    keypoints: str = "keypoints"
    objects: str | None = None
    label_names: Mapping[str, int] | Mapping[int, int] | Sequence[str] | None = None
    on_bad_box: str = "sample"
    flip_pairs: tuple[tuple[int, int], ...] = ()
    min_area: float = 1.0
    min_visibility: float = 0.0

    def __post_init__(self) -> None:
        if self.box_format not in BOX_FORMATS:
            names = ", ".join(f'"{name}"' for name in BOX_FORMATS)
            raise RecipeError(f'Annotations.box_format: must be one of {names}, got {self.box_format!r}. Write "xyxy".')
        if self.on_bad_box not in ON_BAD_BOX:
            names = ", ".join(f'"{name}"' for name in ON_BAD_BOX)
            raise RecipeError(f'Annotations.on_bad_box: must be one of {names}, got {self.on_bad_box!r}. Write "drop".')
        self.label_table  # noqa: B018 - refuses what is no table
        if not self.min_area >= 0:
            raise RecipeError(f"Annotations.min_area: must not be negative, got {self.min_area!r}. Write 1.0.")
        if not 0 <= self.min_visibility <= 1:
            raise RecipeError(f"Annotations.min_visibility: must be in 0..1, got {self.min_visibility!r}. Write 0.0.")
        object.__setattr__(self, "flip_pairs", tuple((int(a), int(b)) for a, b in self.flip_pairs))

    @property
    def label_table(self) -> dict[str | int, int]:
        """The class number of each label in `label_names`; empty without it.

        Raises:
            RecipeError: If `label_names` is no such table.
        """
        names = self.label_names
        if names is None:
            return {}
        if isinstance(names, Mapping):
            table: dict[str | int, int] = dict(names.items())
        else:
            listed = list(names) if isinstance(names, Sequence) and not isinstance(names, str) else [None]
            table = {name: number for number, name in enumerate(listed)}  # type: ignore[misc]  # checked below
            if len(table) != len(listed):
                table = {}
        if not table or not all(isinstance(key, str | int) and type(value) is int for key, value in table.items()):
            raise RecipeError(
                "Annotations.label_names: must be different names in order, or a mapping to class numbers, got "
                f'{names!r:.80}. Write ("cat", "dog"), or {{"cat": 0, "dog": 1}}.'
            )
        return table
