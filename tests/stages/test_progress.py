"""`progress`: the same batches, a bar on a real terminal, lines in a log, and the name of what is late in both."""

import fcntl
import io
import os
import pty
import struct
import termios
import threading

import pytest
from chains import STEPS, places, plain
from reading import reader
from slowing import SLOW
from torch.utils.data import DataLoader

import streamaug as sa
from streamaug.storage.progress import LINE_SECONDS


class Ticking:
    """A clock on which so many seconds pass with each look."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


class Terminal:
    """A terminal; `text` is what it was sent."""

    def __init__(self, columns=150, rows=24):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.file = os.fdopen(slave, "w")
        self._parts = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self):
        while part := self._some():
            self._parts.append(part)

    def _some(self):
        try:
            return os.read(self._master, 1 << 16)
        except OSError:  # the last writer is gone
            return b""

    def text(self):
        self.file.close()
        self._reading.join()
        os.close(self._master)
        return b"".join(self._parts).decode()


def changed(batch):
    SLOW("map_batch")
    return batch


def test_a_bar_is_drawn_on_a_terminal_that_does_not_say_its_size(url):
    terminal = Terminal(columns=0, rows=0)
    for _ in sa.progress(plain(url), file=terminal.file):
        pass
    last = terminal.text().rstrip().split("\r")[-1]
    assert last.startswith("epoch 0: 100%")
    assert len(last) <= 79


def test_a_bar_on_a_terminal_names_what_is_late(url, clock):
    chain = plain(url).map_batch(changed)
    for part, late in (("map_batch", "late: MapBatch (runs its own code)"), ("loop", "late: loop")):
        terminal = Terminal()
        SLOW.part = part
        seen = []
        for batch in sa.progress(chain, file=terminal.file):
            SLOW("loop")
            seen.append(batch)
        last = terminal.text().rstrip().split("\r")[-1]
        assert len(places(seen)) == STEPS
        assert f"{STEPS}/{STEPS}" in last
        assert "100%" in last
        assert "images/s" in last
        assert "% waited" in last
        assert "|" in last
        assert late in last


def test_a_resumed_pass_begins_where_it_was(url):
    chain = plain(url)
    chain.seek(1, 4)
    terminal = Terminal()
    seen = list(sa.progress(chain, file=terminal.file))
    assert places(seen) == [(1, 4), (1, 5)]
    text = terminal.text()
    assert text.rstrip().split("\r")[-1].startswith("epoch 1: 100%")
    assert f" 4/{STEPS} " in text


def test_a_narrow_terminal_shows_the_name_rather_than_a_bar(url, clock):
    chain = plain(url).map_batch(changed)
    terminal, SLOW.part = Terminal(80), "map_batch"
    list(sa.progress(chain, file=terminal.file))
    last = terminal.text().rstrip().split("\r")[-1]
    assert last.endswith("late: MapBatch")
    assert len(last) < 80


def test_a_log_has_a_line_every_half_minute(url, clock):
    file = io.StringIO()
    chain = plain(url).map_batch(changed)
    SLOW.part = "map_batch"
    assert len(list(sa.progress(chain, file=file, clock=Ticking(LINE_SECONDS / 2)))) == STEPS
    lines = file.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"epoch 0: step {step} of 6" for step in (2, 4, 6)]
    assert "images/s" in lines[0]
    assert "late: MapBatch (runs its own code)" in lines[0]
    file = io.StringIO()
    list(sa.progress(chain, file=file, clock=Ticking(0)))
    assert file.getvalue() == ""  # over in a moment


def test_other_ranks_show_nothing(url):
    file = io.StringIO()
    chain = reader(url, batch_size=64, rank=1, world_size=2)
    assert len(list(sa.progress(chain, file=file, clock=Ticking(LINE_SECONDS)))) == STEPS
    assert file.getvalue() == ""


def test_a_loader_of_a_chain_is_shown_and_anything_else_refused(url):
    file = io.StringIO()
    loader = DataLoader(plain(url).as_dataset(), batch_size=None)
    assert len(list(sa.progress(loader, file=file, clock=Ticking(LINE_SECONDS)))) == STEPS
    assert len(file.getvalue().splitlines()) == STEPS
    with pytest.raises(TypeError, match=r"progress\.loader: must be a chain"):
        sa.progress([1, 2])
    assert places(sa.progress(plain(url).as_dataset(), file=file)) == [(0, step) for step in range(STEPS)]
