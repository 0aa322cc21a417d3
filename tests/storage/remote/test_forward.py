import pytest

from streamaug.storage.remote.failures import RemoteError
from streamaug.storage.remote.forward import ForwardStream

DATA = bytes(range(200)) * 7


def passing(sizes, breaks):
    """A function that begins the object anew each time; the n-th time it breaks off before piece breaks[n]."""
    breaks = iter(breaks)

    def begin():
        until = next(breaks, None)
        at = 0
        for number, size in enumerate(sizes):
            if number == until:
                raise RemoteError("it broke off")
            yield memoryview(DATA)[at : at + size]
            at += size

    return begin


@pytest.mark.parametrize("start", [0, 1, 299, 300, 301, 1399, 1400])
@pytest.mark.parametrize("breaks", [(), (0,), (1, 0, 2), (3, 3)])
def test_every_byte_from_the_start_on_comes_once_however_often_it_breaks(start, breaks):
    stream = ForwardStream(passing([300, 300, 500, 300], breaks), start)
    got, failures = b"", 0
    while True:
        try:
            piece = stream.attempt()
        except RemoteError:
            failures += 1
            continue
        if piece is None:
            break
        got += piece
    assert got == DATA[start:]
    assert failures == len(breaks)
