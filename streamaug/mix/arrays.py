"""Numpy arrays and tensors seen as one: what lets the functions of `mix` take either.

In: what the user passed. Out: a tensor over the same memory for pixels, a numpy array for the small index arrays.
"""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

ArrayLike = npt.NDArray[Any] | torch.Tensor
#: What goes in is what comes out: an array or a tensor.
ArrayT = TypeVar("ArrayT", npt.NDArray[Any], torch.Tensor)
TargetsT = TypeVar("TargetsT", npt.NDArray[Any], torch.Tensor)


def as_numpy(values: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Values as a numpy array of `dtype`; a tensor is copied from its device."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values).astype(dtype, copy=False)


def shares_memory(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """True if both are the same elements at the same addresses."""
    return (
        tensor.data_ptr() == other.data_ptr()
        and tensor.shape == other.shape
        and tensor.stride() == other.stride()
        and tensor.dtype == other.dtype
        and tensor.device == other.device
    )


def pixels_and_result(images: ArrayLike, out: ArrayLike | None) -> tuple[torch.Tensor, torch.Tensor, ArrayLike]:
    """Tensors to read from and to write to, and what to return to the user.

    Args:
        images: (B, C, H, W), array or tensor; never written to unless it is `out`.
        out: Where to write, of the same kind, shape and dtype; None: new memory.

    Raises:
        ValueError: If `out` does not match `images` or cannot be written.
    """
    if out is not None:
        matches = isinstance(out, torch.Tensor) == isinstance(images, torch.Tensor)
        if not matches or out.shape != images.shape or out.dtype != images.dtype:
            raise ValueError(
                f"out: must have the type, shape and dtype of images ({_describe(images)}), got {_describe(out)}. "
                "Pass out=images to work in place, or leave it out."
            )
    if isinstance(images, torch.Tensor):
        destination = torch.empty_like(images) if out is None else out
        if not isinstance(destination, torch.Tensor):
            raise TypeError(f"out: must be a tensor, got {type(destination).__name__}. Pass out=images.")
        return images, destination, destination
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out: must be writable, got a read-only array. Leave it out, to get a new array.")
    if out is None:
        # One copy that is then worked on in place: from_numpy() refuses read-only and negative-strided arrays.
        out = np.array(images)
        tensor = torch.from_numpy(out)
        return tensor, tensor, out
    destination = torch.from_numpy(out)
    source = destination if out is images else torch.from_numpy(np.array(images))
    return source, destination, out


def _describe(images: ArrayLike) -> str:
    return f"{type(images).__name__} {tuple(images.shape)} {images.dtype}"
