"""An object that is read as a whole, for servers that send no ranges; where it breaks off, it is asked for again."""

from collections.abc import Callable, Iterator

from streamaug.storage.remote.failures import RemoteError


class ForwardStream:
    """The bytes of an object from an offset on, in order.

    Args:
        begin: Asks for the whole object, and yields its pieces in order.
        start: The first wanted byte.
    """

    def __init__(self, begin: Callable[[], Iterator[memoryview]], start: int) -> None:
        self._begin = begin
        self._wanted = start
        self._pieces: Iterator[memoryview] | None = None
        self._passed = 0

    def attempt(self) -> memoryview | None:
        """The next bytes, or None at the end; after a failure it skips the bytes that it gave before.

        Raises:
            RemoteError: If the object breaks off; the next attempt asks for it again.
        """
        try:
            if self._pieces is None:
                self._pieces, self._passed = self._begin(), 0
            for data in self._pieces:
                self._passed += len(data)
                beyond = self._passed - self._wanted
                if beyond > 0:
                    self._wanted = self._passed
                    return data[-beyond:]
        except RemoteError:
            self._pieces = None
            raise
        return None
