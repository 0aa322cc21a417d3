"""What is said of a long run."""

import io

import pytest

from streamaug.making.progress import SampleProgress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, times):
    clock = iter([0.0, *times])
    progress = SampleProgress(1000, stream, lambda: next(clock))
    for _ in times:
        progress.add(100)
    progress.close()
    return stream.getvalue()


def test_a_log_gets_a_line_every_30_seconds():
    assert shown(io.StringIO(), [10.0, 29.0]) == ""
    assert shown(io.StringIO(), [20.0, 40.0, 50.0, 80.0]) == (
        "make-shards: 200 of 1,000 samples, 5 a second, 160 s left\n"
        "make-shards: 400 of 1,000 samples, 5 a second, 2 min left\n"
    ).replace("160 s", "3 min")


def test_a_terminal_gets_a_line_that_is_renewed_and_cleared():
    text = shown(Terminal(), [0.1, 1.0, 1.2, 2.0])
    assert text == (
        "\rmake-shards: 200 of 1,000 samples, 200 a second, 4 s left\x1b[K"
        "\rmake-shards: 400 of 1,000 samples, 200 a second, 3 s left\x1b[K\r\x1b[K"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5399, "1 h 30 min"), (5460, "1 h 31 min"), (86400, "24 h 0 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
