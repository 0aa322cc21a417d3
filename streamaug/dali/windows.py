"""The part of each stored image that a recipe's crops keep, to show beside the augmented image.

In: a recipe, encoded images and where their batch comes from. Out: rectangles. It decodes nothing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamaug.batch import Origin
from streamaug.dali.layout import Layout
from streamaug.dali.plan import Planner
from streamaug.encoded import Encoded
from streamaug.recipes.recipe import Recipe
from streamaug.samples.image_header import Header, inspect


def windows(recipe: Recipe, images: Sequence[Encoded], origin: Origin) -> npt.NDArray[np.float64]:
    """The windows that a recipe's crops take of images, before any later rotation or warp.

    Args:
        recipe: The recipe.
        images: B encoded images, as they were stored; without stand-ins, whose numbers depend on the attempt.
        origin: The batch's origin.

    Returns:
        float64 (V, B, 4): for each view top, left, bottom and right in pixels of the stored image, which EXIF has
        turned if the recipe asks for it; NaN for a row whose bytes are no image.
    """
    layout = Layout(recipe)
    headers = [inspect(image, orientation=recipe.apply_orientation) for image in images]
    good = [header if isinstance(header, Header) else Header(1, 1) for header in headers]
    out = np.stack(Planner(layout).plan(good, origin, None).shown)
    out[:, [isinstance(header, str) for header in headers]] = np.nan
    return out
