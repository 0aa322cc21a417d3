"""From positions to bytes: which samples this rank needs, where they lie, fetching them ahead, and rows of a batch.

schedule (what, when) → pieces (which bytes) → prefetch (ahead, under a memory limit) → engine (batches, in order)
"""

from streamaug.reader.engine import BatchReader
from streamaug.reader.progress import Progress
from streamaug.reader.schedule import Share

__all__ = ["BatchReader", "Progress", "Share"]
