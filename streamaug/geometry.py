"""Plane geometry as 3×3 matrices, vectorised over a batch.

A matrix maps source pixels to output pixels, (x, y, 1) as a column, with (0, 0) at the outer corner of the top-left
pixel. Everything is float64 numpy and pure; nothing here knows of images, recipes or DALI.
"""

import numpy as np
import numpy.typing as npt

__all__ = [
    "about_center",
    "homography",
    "identity",
    "inscribed_rectangle",
    "inscribed_zoom",
    "rotation",
    "scaling",
    "shearing",
    "transform_points",
    "translation",
    "window",
]

Matrices = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]


def identity(count: int) -> Matrices:
    """`count` identity matrices: float64 (count, 3, 3)."""
    return np.tile(np.eye(3), (count, 1, 1))


def _filled(shape: tuple[int, ...], entries: dict[tuple[int, int], npt.ArrayLike]) -> Matrices:
    matrices = np.zeros((*shape, 3, 3))
    matrices[..., range(3), range(3)] = 1.0
    for (row, column), value in entries.items():
        matrices[..., row, column] = value
    return matrices


def translation(x: npt.ArrayLike, y: npt.ArrayLike) -> Matrices:
    """Shift by (x, y) pixels, each (B,) or a number: float64 (B, 3, 3)."""
    return _filled(np.broadcast_shapes(np.shape(x), np.shape(y)), {(0, 2): x, (1, 2): y})


def scaling(x: npt.ArrayLike, y: npt.ArrayLike) -> Matrices:
    """Scale about the origin by factors (x, y), each (B,) or a number; a negative one mirrors: float64 (B, 3, 3)."""
    return _filled(np.broadcast_shapes(np.shape(x), np.shape(y)), {(0, 0): x, (1, 1): y})


def rotation(angle: npt.ArrayLike) -> Matrices:
    """Turn about the origin by `angle` radians (B,), counter-clockwise as seen on the screen: float64 (B, 3, 3)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return _filled(np.shape(angle), {(0, 0): cosine, (0, 1): sine, (1, 0): -np.asarray(sine), (1, 1): cosine})


def shearing(x: npt.ArrayLike, y: npt.ArrayLike) -> Matrices:
    """Shear about the origin, x' = x + tan(x angle)·y and then y' = y + tan(y angle)·x', in radians: (B, 3, 3)."""
    shape = np.broadcast_shapes(np.shape(x), np.shape(y))
    return _filled(shape, {(1, 0): np.tan(y)}) @ _filled(shape, {(0, 1): np.tan(x)})


def about_center(matrices: Matrices, height: npt.ArrayLike, width: npt.ArrayLike) -> Matrices:
    """The same maps about the centre of a height × width frame in pixels, numbers or (B,): float64 (B, 3, 3)."""
    x, y = np.asarray(width) / 2.0, np.asarray(height) / 2.0
    return translation(x, y) @ matrices @ translation(-x, -y)


def window(
    top: npt.ArrayLike,
    left: npt.ArrayLike,
    height: npt.ArrayLike,
    width: npt.ArrayLike,
    size: tuple[npt.ArrayLike, npt.ArrayLike],
) -> Matrices:
    """The map of a window in source pixels onto a frame of `size` (height, width), all numbers or (B,): (B, 3, 3)."""
    scale_x, scale_y = np.divide(size[1], width), np.divide(size[0], height)
    entries = {
        (0, 0): scale_x,
        (1, 1): scale_y,
        (0, 2): -np.asarray(left) * scale_x,
        (1, 2): -np.asarray(top) * scale_y,
    }
    return _filled(np.broadcast_shapes(*(np.shape(value) for value in entries.values())), entries)


def homography(source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> Matrices:
    """The perspective maps that take four points to four points.

    Args:
        source: float64 (B, 4, 2), x and y; no three on a line.
        target: float64 (B, 4, 2).

    Returns:
        float64 (B, 3, 3) with the last entry 1.
    """
    count = len(source)
    x, y = source[..., 0], source[..., 1]
    system = np.zeros((count, 8, 8))
    for axis in range(2):
        rows = system[:, axis::2]
        rows[..., 3 * axis], rows[..., 3 * axis + 1], rows[..., 3 * axis + 2] = x, y, 1.0
        rows[..., 6], rows[..., 7] = -target[..., axis] * x, -target[..., axis] * y
    solved = np.linalg.solve(system, target.reshape(count, 8, 1))[..., 0]
    return np.concatenate([solved, np.ones((count, 1))], axis=1).reshape(count, 3, 3)


def transform_points(matrices: Matrices, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points (..., N, 2) as x, y, each set through its matrix (..., 3, 3): float64 (..., N, 2)."""
    mapped = points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]
    return np.asarray(mapped[..., :2] / mapped[..., 2:])


def inscribed_rectangle(width: float, height: float, degrees: float) -> tuple[float, float]:
    """The largest axis-parallel rectangle inside a width × height rectangle turned by `degrees`.

    Returns:
        Its (width, height), in the units of the input. (Coproc and Nick Alger, Stack Overflow answer 16778797.)
    """
    sine, cosine = abs(np.sin(np.deg2rad(degrees))), abs(np.cos(np.deg2rad(degrees)))
    long, short = max(width, height), min(width, height)
    if short <= 2.0 * sine * cosine * long or abs(sine - cosine) < 1e-10:
        half = 0.5 * short
        inner = (half / sine, half / cosine) if width >= height else (half / cosine, half / sine)
        return float(inner[0]), float(inner[1])
    double = cosine * cosine - sine * sine
    return float((width * cosine - height * sine) / double), float((height * cosine - width * sine) / double)


def inscribed_zoom(width: npt.ArrayLike, height: npt.ArrayLike, angle: npt.ArrayLike) -> Values:
    """How much to enlarge a frame turned by `angle` radians so that its own outline shows no border, ≥ 1: (B,).

    The centred rectangle of the frame's own aspect ratio lies inside the turned frame where both
    z·(w·|cos| + h·|sin|) ≤ w and z·(w·|sin| + h·|cos|) ≤ h.
    """
    sine, cosine = np.abs(np.sin(angle)), np.abs(np.cos(angle))
    ratio = np.divide(height, width)
    return np.asarray(np.maximum(cosine + ratio * sine, cosine + sine / ratio))
