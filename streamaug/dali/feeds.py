"""The names of the feeds, the arrays by which the plan tells the graph what to do with each sample.

In: the indices of a geometry, a view, an operation. Out: a name, under which `plan` writes an array and `graph` finds
its node. A feed that a layout has no use for is in neither.
"""

from enum import StrEnum

#: Feeds with the window of each image that is decoded, in pixels as stored: top and left, height and width.
START, SHAPE = "start", "shape"


class TurnFeed(StrEnum):
    """The feeds that turn decoded windows upright; empty unless the recipe applies orientations."""

    TURNED = "orientation.turned"  # whether the window is not upright as it is stored
    MATRIX = "orientation.matrix"  # on a GPU: output-to-source matrix of the turn, in numbers of pixels
    SIZE = "orientation.size"  # on a GPU: height and width afterwards
    TRANSPOSED = "orientation.transposed"  # whether rows and columns are exchanged
    TRANSPOSED_SIZE = "orientation.transposed_size"  # height and width afterwards
    HORIZONTAL = "orientation.horizontal"  # whether left and right are then exchanged
    VERTICAL = "orientation.vertical"  # whether top and bottom are


class GeometryFeed(StrEnum):
    """The feeds of a geometry; `of` gives the name for one of several geometries."""

    ROI_START = "roi_start"  # top and left of the resized region, in pixels of the decoded window
    ROI_END = "roi_end"  # its bottom and right
    SIZE = "size"  # height and width of the resize's result, where they differ from sample to sample
    TRANSPOSED = "transposed"  # whether the sample is resized lying on its side
    TRANSPOSED_SIZE = "transposed_size"  # height and width of the decoded window lying on its side
    ENLARGED = "enlarged"  # whether the resize enlarges, which a warp does at half the cost
    ZOOM = "zoom"  # output-to-source matrix of that warp
    WARPED = "warped"  # whether the one warp changes the sample
    MATRIX = "matrix"  # output-to-source matrix of the one warp
    BORDERED = "bordered"  # whether the border shows, rather than the image's own edge
    VERTICAL = "vertical"  # whether top and bottom are exchanged after the resize

    def of(self, geometry: int) -> str:
        """The feed's name for the geometry with this index."""
        return f"geometry{geometry}.{self}"


class RowFeed(StrEnum):
    """The feeds of all V·B rows, view-major, where the graph joins the views, see `Layout.joins_views`."""

    MIRROR = "rows.mirror"  # whether left and right are exchanged at last
    SOURCE = "rows.source"  # here and below, of `Layout.cut_from`: the row whose image the view is cut from
    X = "rows.x"  # left edge of the cut, as a share of the pixels by which the image is wider than the view
    Y = "rows.y"  # top edge, likewise
    VERTICAL = "rows.vertical"  # whether top and bottom are exchanged at last


def rows_feed(view: int) -> str:
    """Name of the feed that says which of V·B rows are a view's; those of view 0 bring the encoded images."""
    return f"rows.view{view}"


def is_of_all_rows(feed: str) -> bool:
    """Whether a feed is for all V·B rows; of others only the rows with an image count."""
    return feed.startswith("rows.")


def mirror_feed(view: int) -> str:
    """Name of the feed of flags: the samples of a view that are mirrored last."""
    return f"view{view}.mirror"


def selected_feed(view: int, index: int) -> str:
    """Name of the feed of flags: the samples that the operation with random stream `index` changes."""
    return f"view{view}.{index}.selected"


def parameter_feed(view: int, index: int, name: str = "") -> str:
    """Name of the feed of an operation's parameter; without `name`, the common beginning of these names."""
    return f"view{view}.{index}:{name}"
