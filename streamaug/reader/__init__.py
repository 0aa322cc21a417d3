"""From positions to bytes: which samples this rank needs, where they lie, fetching them ahead, and rows of a batch.

schedule (which samples, when) → pieces (which bytes) → prefetch (ahead, as read_ahead says) → reading (of a pass, and
of the beginning of the next) → batch_reader (batches, in order)
"""

from streamaug.reader.batch_reader import BatchReader
from streamaug.reader.schedule import Share
from streamaug.reader.state import Progress

__all__ = ["BatchReader", "Progress", "Share"]
