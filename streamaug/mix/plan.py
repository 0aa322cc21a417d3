"""Which rows of a batch are mixed, and how: its plan, drawn before any pixel is touched.

In: where a batch comes from (`Origin`) and the parameters of Mixup and CutMix. Out: a `MixPlan`, a pure function of
these, so that any number of ranks, and a resumed run, mix the same samples in the same way. All randomness of mixing is
here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.batch import BoolArray, Float64Array, Int64Array, Origin
from streamaug.mix.schedules import Schedule
from streamaug.mix.settings import Lam, PlanSettings
from streamaug.random import Stream, uniform

#: The numbers of a pair decide, in this order: whether to mix, Mixup or CutMix, λ, and the box's centre (y, x). With
#: `cutmix_minmax` they decide, from the third on: the box's height, its position (y, x), its width.
_DRAWS = 6


@dataclass(frozen=True, slots=True, eq=False)
class MixPlan:
    """How the rows of one batch are mixed.

    Attributes:
        partner: int64 (B,), the row that each row is mixed with; its own number where it has none.
        lam: float64 (B,), 0..1, the share of the row itself, as the targets use it; 1 where it is not mixed.
        boxes: int64 (B, 4), y1, y2, x1, x2 in pixels, half open: the box that CutMix pastes; empty for every other row.
        is_cutmix: bool (B,), True where the row is CutMix's.
    """

    partner: Int64Array
    lam: Float64Array
    boxes: Int64Array
    is_cutmix: BoolArray

    @classmethod
    def draw(
        cls,
        origin: Origin,
        *,
        height: int,
        width: int,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        probability: float = 1.0,
        switch_probability: float = 0.5,
        lam: Lam = "pair",
        cutmix_minmax: tuple[float, float] | None = None,
        schedule: Schedule | None = None,
    ) -> "MixPlan":
        """Draw a batch's plan, a pure function of the arguments.

        Args:
            origin: Where the batch comes from: seed, epoch, positions and sample ids decide every number.
            height: H of the images, in pixels.
            width: W of the images, in pixels.
            mixup_alpha: α of Mixup's λ ~ Beta(α, α); 0: all mixed pairs are CutMix's.
            cutmix_alpha: α of CutMix's λ ~ Beta(α, α); 0: all mixed pairs are Mixup's. Both 0: nothing is mixed.
            probability: Chance that a pair is mixed at all, 0..1.
            switch_probability: Chance that a mixed pair is CutMix's, 0..1; not used where an α is 0.
            lam: "pair": both rows of a pair share all numbers, keyed by the sample id at the smaller position.
                "element": each row has its own, keyed by its sample id. "batch": the whole global batch shares all
                numbers, keyed by its step, so that all ranks draw the same. A row without a partner keeps λ = 1.
            cutmix_minmax: (low, high), 0 < low ≤ high ≤ 1: the height of a box is uniform over the whole pixels
                int(H·low)..int(H·high), its width likewise and independent of it, its position uniform over all that
                lie wholly inside; cutmix_alpha is then not used, and must not be 0. None: boxes as in the paper.
            schedule: A pure function (epoch, step) -> 0..1; the chance of a pair is `probability` times its value. λ,
                kind and box of a mixed row do not depend on it. See `off_from` and `ramp`.

        Raises:
            ValueError: If an argument is out of range.
        """
        settings = PlanSettings(
            mixup_alpha=mixup_alpha,
            cutmix_alpha=cutmix_alpha,
            probability=probability,
            switch_probability=switch_probability,
            lam=lam,
            cutmix_minmax=cutmix_minmax,
            schedule=schedule,
        )
        return draw(origin, settings, height=height, width=width)


def draw(origin: Origin, settings: PlanSettings, *, height: int, width: int) -> MixPlan:
    """The plan of a batch by checked settings; see `MixPlan.draw`."""
    partner = partners(origin)
    whose = _numbered_by(origin, partner, settings.lam)
    numbers = uniform(origin.seed, origin.epoch, whose, stream=Stream.MIX, n=_DRAWS)
    has_partner = partner != np.arange(len(partner))
    mixed = (numbers[:, 0] < settings.chance(origin.epoch, origin.step)) & has_partner
    is_cutmix = mixed & (numbers[:, 1] < settings.cutmix_share)
    is_mixup = mixed & ~is_cutmix
    share = np.ones(len(partner))
    if is_mixup.any():
        share[is_mixup] = beta(settings.mixup_alpha, numbers[is_mixup, 2])
    boxes = np.zeros((len(partner), 4), np.int64)
    if is_cutmix.any():
        boxes[is_cutmix] = _boxes(settings, numbers[is_cutmix], height, width)
    area = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    boxes[area == 0] = 0
    return MixPlan(partner, np.where(is_cutmix, 1.0 - area / (height * width), share), boxes, is_cutmix)


def _boxes(settings: PlanSettings, numbers: Float64Array, height: int, width: int) -> Int64Array:
    """int64 (R, 4): the boxes of CutMix's rows, y1, y2, x1, x2."""
    if settings.cutmix_minmax is None:
        lam = beta(settings.cutmix_alpha, numbers[:, 2])
        center_y, center_x = ((numbers[:, i] * side).astype(np.int64) for i, side in ((3, height), (4, width)))
        return np.stack(cutmix_box(height, width, lam, center_y, center_x), axis=1)
    columns = []
    for side, length_number, place_number in ((height, 2, 3), (width, 5, 4)):
        shortest, longest = (int(side * fraction) for fraction in settings.cutmix_minmax)
        length = shortest + (numbers[:, length_number] * (longest - shortest + 1)).astype(np.int64)
        first = (numbers[:, place_number] * (side - length + 1)).astype(np.int64)
        columns += [first, first + length]
    return np.stack(columns, axis=1)


def _numbered_by(origin: Origin, partner: Int64Array, lam: Lam) -> Int64Array:
    """int64 (B,): the id by which each row draws random numbers."""
    if lam == "batch":
        return np.full(len(partner), origin.step, np.int64)
    if lam == "element":
        return origin.draw_ids
    positions, ids = origin.positions, origin.draw_ids
    return np.where(positions <= positions[partner], ids, ids[partner])


def partners(origin: Origin) -> Int64Array:
    """The partner of each row of a batch: the row half a batch away, in the order of positions.

    A shuffled order deals the positions of a global batch to the W ranks in turn, so half of a rank's B rows span
    W·B/2 positions, half of the global batch: partners are the same on any number of ranks with even batches, whatever
    the lanes and wherever the batch begins. In the listed order a rank mixes the halves of its own block.

    Copies of a sample are not partners: where half a global batch is m positions of every lane, m below the repeats,
    the second half is rotated by G/2ᵏ positions, k the least from 2 on for which that is no multiple of the lanes. It
    is W·B/2ᵏ, so these pairs too are the same on any number of ranks, of batches that 2ᵏ divides.

    Args:
        origin: Where the batch comes from.

    Returns:
        int64 (B,), each pair both ways; in a batch of odd size the row of the last position has its own number.

    Raises:
        ValueError: If copies would be partners in batches that 2ᵏ does not divide.
    """
    by_position = np.argsort(origin.positions, kind="stable")
    half = len(by_position) // 2
    turn = _turn(origin, by_position) if origin.repeats > 1 and half else 0
    first, second = by_position[:half], np.roll(by_position[half : 2 * half], -turn)
    partner = np.arange(len(by_position), dtype=np.int64)
    partner[first], partner[second] = second, first
    return partner


def _turn(origin: Origin, by_position: Int64Array) -> int:
    """Rows by which the second half of a batch is rotated, so that no copy of a row's sample is its partner."""
    size, lanes = len(by_position), origin.lanes
    apart = int(origin.positions[by_position[size // 2]] - origin.positions[by_position[0]])
    slots, between = divmod(apart, lanes)
    if between or slots >= origin.repeats:
        return 0
    parts = 4 * (slots & -slots)  # each halving takes a factor of 2 from the slots, until they are half a lane's
    if size % parts:
        raise ValueError(
            f"ShardReader.batch_size: must be a multiple of {parts} where half of the global batch is {apart} = "
            f"{slots} · {lanes} lanes and samples have {origin.repeats} copies, which are not mixed with each other, "
            f"got {size}. Use a batch_size of {-(-size // parts) * parts}."
        )
    return size // parts


def leaves_rows_alone(origin: Origin) -> bool:
    """Whether a row has no partner here, and would have one in even batches on another number of ranks.

    That is so where several ranks have batches of odd size, and for a batch of a single row.
    """
    size = len(origin.positions)
    if size < 2:
        return True
    smallest, second = np.partition(origin.positions, 1)[:2]
    return size % 2 == 1 and bool(second - smallest > 1)


def beta(alpha: float, numbers: Float64Array) -> Float64Array:
    """Beta(α, α) by its inverse distribution function: float64 in 0..1 from uniform float64 of the same shape.

    Against 40-digit arithmetic the error of λ was at most 2e-15 for α from 0.05 to 2; a number costs about 0.5 µs.
    """
    from scipy.special import betaincinv  # 0.4 s to import, which only a chain that mixes should pay

    return np.asarray(betaincinv(alpha, alpha, numbers), np.float64)


def cutmix_box(
    height: int, width: int, lam: npt.ArrayLike, center_y: npt.ArrayLike, center_x: npt.ArrayLike
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """CutMix's box, as in the paper's code (`rand_bbox`, github.com/clovaai/CutMix-PyTorch).

    Args:
        height: H, in pixels.
        width: W, in pixels.
        lam: λ, 0..1: the box has about 1−λ of the area before clipping; a number or an array.
        center_y: Row of the centre, 0..H−1; a number or an array.
        center_x: Column of the centre, 0..W−1.

    Returns:
        (y1, y2, x1, x2), int64, half open, clipped to the image; empty (y1 = y2 or x1 = x2) where it is too small.
    """
    ratio = np.sqrt(1.0 - np.asarray(lam, np.float64))
    half_height = (height * ratio).astype(np.int64) // 2
    half_width = (width * ratio).astype(np.int64) // 2
    y, x = np.asarray(center_y, np.int64), np.asarray(center_x, np.int64)
    return (
        np.clip(y - half_height, 0, height),
        np.clip(y + half_height, 0, height),
        np.clip(x - half_width, 0, width),
        np.clip(x + half_width, 0, width),
    )
