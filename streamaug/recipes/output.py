"""The format in which a recipe's images arrive: type, normalisation, memory layout."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamaug.errors import RecipeError

#: The element types of `Output`; bfloat16 is cast from float32 by torch, as DALI has none.
DTYPES = ("float32", "float16", "bfloat16", "uint8")
_CHANNELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The type, layout and scale of a batch's images; their shape is always (B, 3, H, W).

    Args:
        dtype: "float32", "float16", "bfloat16" or "uint8".
        mean: Subtracted from each channel, in units of 0..255: three numbers (red, green, blue), one for all, or None
            for 0.
        std: Divides each channel after that, in the same units: three numbers, one for all, or None for 1.
        channels_last: Whether the memory is ordered (B, H, W, C), torch's channels_last.

    Raises:
        RecipeError: If a value is not allowed, uint8 is to be normalised, or mean or std are in units of 0..1.
    """

    dtype: str = "float32"
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            names = ", ".join(f'"{name}"' for name in DTYPES)
            raise RecipeError(f'Output.dtype: must be one of {names}, got {self.dtype!r}. Write "float32".')
        if not isinstance(self.channels_last, bool):
            raise RecipeError(f"Output.channels_last: must be True or False, got {self.channels_last!r}. Write False.")
        for field in ("mean", "std"):
            object.__setattr__(self, field, self._three(field))
        if self.dtype == "uint8" and (self.mean is not None or self.std is not None):
            given = f"mean={self.mean}, std={self.std}"
            raise RecipeError(f'Output.dtype: "uint8" must not be normalised, got {given}. Leave out mean and std.')

    def _three(self, field: str) -> tuple[float, ...] | None:
        value = getattr(self, field)
        if value is None:
            return None
        numbers = np.asarray(value)
        fits = numbers.dtype.kind in "if" and numbers.shape in ((), (1,), (_CHANNELS,)) and np.isfinite(numbers).all()
        if not fits or (field == "std" and (numbers <= 0).any()):
            must = "three numbers above 0" if field == "std" else "three numbers"
            raise RecipeError(f"Output.{field}: must be {must} or one, got {value!r}. Write (127.5, 127.5, 127.5).")
        if (numbers > 0).any() and (numbers <= 1).all() and (numbers < 1).any():
            levels = tuple(round(float(number) * 255, 3) for number in np.broadcast_to(numbers, _CHANNELS))
            raise RecipeError(f"Output.{field}: must be in units of 0..255, got {value!r}. Write {levels}.")
        return tuple(float(number) for number in np.broadcast_to(numbers, _CHANNELS))

    @property
    def channel_means(self) -> tuple[float, ...]:
        """Three numbers to subtract."""
        return self._channels(self.mean, 0.0)

    @property
    def channel_stds(self) -> tuple[float, ...]:
        """Three numbers to divide by."""
        return self._channels(self.std, 1.0)

    @staticmethod
    def _channels(value: float | Sequence[float] | None, default: float) -> tuple[float, ...]:
        return tuple(value) if isinstance(value, tuple) else (default,) * _CHANNELS
