"""Operations that may show pixels outside the image, and so have the fields `border` and `fill`.

In: the fields. Out: the `Border` that the recipe compares with those of its other operations, which must agree.
"""

from streamaug.ops import fields
from streamaug.ops.base import Border, Color, Geometric


class Bordered(Geometric):
    """The base of operations with a border.

    Attributes:
        border: The pixels outside the image: "constant" (see fill), "replicate", "reflect", "reflect_101", "wrap";
            None: that of another operation of the recipe, else constant.
        fill: Colour of a constant border before it is normalised: a gray level 0..255 or (red, green, blue); None: that
            of another operation, else 0.
    """

    __slots__ = ()

    border: str | None
    fill: Color | None

    def check_border(self) -> None:
        """Check both fields; for `__post_init__`.

        Raises:
            RecipeError: If there is no such border, or the fill is no colour within 0..255.
        """
        fields.border_mode(self)
        fields.color(self, optional=True)

    def shows(self) -> Border | None:
        return Border(self.border, self.fill)
