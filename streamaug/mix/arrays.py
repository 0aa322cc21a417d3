"""Numpy arrays and tensors behind one interface, so that the functions of `mix` take either.

In: an argument of the user. Out: a tensor over the same memory for pixels, a numpy array for the small index arrays.
"""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from streamaug.batch import ArrayLike, Float64Array, Int64Array

#: A function returns the kind of value that it was given: an array or a tensor.
ArrayT = TypeVar("ArrayT", npt.NDArray[Any], torch.Tensor)
TargetsT = TypeVar("TargetsT", npt.NDArray[Any], torch.Tensor)


def as_numpy(values: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Values as a numpy array of `dtype`; a tensor is copied from its device."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values).astype(dtype, copy=False)


def uploaded(device: torch.device, *columns: Int64Array | Float64Array) -> list[torch.Tensor]:
    """Arrays (B,) of 8 bytes an element as tensors on a device, by one copy for which the calling thread does not wait.

    A blocking copy ends after all work that the GPU was given before, a training step at the worst. This copy comes
    from pinned memory, which torch keeps until the GPU has read it.
    """
    packed = torch.from_numpy(np.stack([column.view(np.int64) for column in columns]))
    if device.type == "cuda":
        packed = packed.pin_memory()
    rows = packed.to(device, non_blocking=True).unbind()
    kinds = {"int64": torch.int64, "float64": torch.float64}
    return [row.view(kinds[column.dtype.name]) for row, column in zip(rows, columns, strict=True)]


def result_to_work_on(images: ArrayLike, out: ArrayLike | None) -> tuple[ArrayLike, torch.Tensor]:
    """The value to return to the user, which holds the images' pixels, and a tensor over its memory.

    Args:
        images: (B, C, H, W), array or tensor; never written to unless it is `out`.
        out: Where the result goes, of the same kind, shape and dtype; None: new memory.

    Raises:
        ValueError: If `out` does not match `images` or cannot be written.
    """
    if out is None:
        out = images.clone() if isinstance(images, torch.Tensor) else np.array(images)
    elif type(out) is not type(images) or out.shape != images.shape or out.dtype != images.dtype:
        raise ValueError(
            f"out: must have the type, shape and dtype of images ({_describe(images)}), got {_describe(out)}. "
            "Pass out=images to work in place, or leave it out."
        )
    elif isinstance(out, torch.Tensor) and isinstance(images, torch.Tensor):
        if not _same_memory(images, out):
            out.copy_(images)
    elif isinstance(out, np.ndarray):
        if not out.flags.writeable or min(out.strides, default=0) < 0:
            raise ValueError("out: must be writable and not reversed. Leave it out, to get a new array.")
        if out is not images:
            np.copyto(out, images)
    return out, out if isinstance(out, torch.Tensor) else torch.from_numpy(out)


def _same_memory(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    return tensor is other or (tensor.data_ptr() == other.data_ptr() and tensor.stride() == other.stride())


def _describe(images: ArrayLike) -> str:
    return f"{type(images).__name__} {tuple(images.shape)} {images.dtype}"
