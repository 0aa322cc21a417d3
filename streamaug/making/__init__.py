"""Makes shards of image folders, lists, Hugging Face datasets on disk, and other shards.

sources (image_folder | image_list | arrow | tars) → labels, keys → plan → workers: (images → shard_writer → output)

The same sources and options make the same bytes, for any number of processes or parts, and however often the run was
killed and started again.
"""

from streamaug.making.make import Report, make_shards
from streamaug.making.options import MakeOptions
from streamaug.making.shard_writer import BadSample

__all__ = ["BadSample", "MakeOptions", "Report", "make_shards"]
