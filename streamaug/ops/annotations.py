"""Boxes and keypoints that come with the images: where they are found and how they are written."""

from dataclasses import dataclass

from streamaug.errors import RecipeError

BOX_FORMATS = ("xyxy", "xywh", "cxcywh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """How to read a JSON component, and what to keep of it.

    Args:
        component: Name of the component, one of those that the shards were opened with.
        boxes: Its key for the boxes, a list of four numbers each.
        box_format: "xyxy", "xywh" or "cxcywh" (the last with the centre).
        normalized: Whether coordinates are fractions of the image's size rather than pixels. Either way they are those
            of the image as the recipe sees it: turned by EXIF if `apply_orientation` is set, else as stored.
        labels: Its key for the boxes' class numbers.
        keypoints: Its key for the keypoints, lists of (x, y, visibility).
        flip_pairs: Pairs of keypoint numbers that a mirroring exchanges, such as left and right eye.
        min_area: Boxes with fewer output pixels are dropped.
        min_visibility: Boxes of which a smaller fraction is still in view are dropped, 0..1.

    Raises:
        RecipeError: If the format is none of these or a bound makes no sense.
    """

    component: str = "json"
    boxes: str = "boxes"
    box_format: str = "xyxy"
    normalized: bool = False
    labels: str = "labels"
    keypoints: str = "keypoints"
    flip_pairs: tuple[tuple[int, int], ...] = ()
    min_area: float = 1.0
    min_visibility: float = 0.0

    def __post_init__(self) -> None:
        if self.box_format not in BOX_FORMATS:
            names = ", ".join(f'"{name}"' for name in BOX_FORMATS)
            raise RecipeError(f'Annotations.box_format: must be one of {names}, got {self.box_format!r}. Write "xyxy".')
        if not self.min_area >= 0:
            raise RecipeError(f"Annotations.min_area: must not be negative, got {self.min_area!r}. Write 1.0.")
        if not 0 <= self.min_visibility <= 1:
            raise RecipeError(f"Annotations.min_visibility: must be in 0..1, got {self.min_visibility!r}. Write 0.0.")
        object.__setattr__(self, "flip_pairs", tuple((int(a), int(b)) for a, b in self.flip_pairs))
