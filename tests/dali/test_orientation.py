"""Turns as matrices: the very pixels that Pillow's transposition gives, for every orientation."""

import io

import numpy as np
import pytest
from pictures import encoded
from PIL import Image, ImageOps

from streamaug.dali.orientation import turn_matrices, turns


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_matrix_takes_each_upright_pixel_to_the_stored_one(orientation):
    stored = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    tag = Image.Exif()
    tag[0x0112] = orientation
    with Image.open(io.BytesIO(encoded(stored, "PNG", exif=tag))) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    extent = np.array([upright.shape[:2]], np.float64)
    (matrix,) = turn_matrices(turns(np.array([orientation])), extent)
    y, x = np.mgrid[: upright.shape[0], : upright.shape[1]]
    columns, rows, ones = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)])).astype(int)
    assert (ones == 1).all()
    assert np.array_equal(stored[rows, columns], upright)
