"""What many tests share: drawn pictures in uneven shards, photographs, interrupts, and a clock that stands still."""

import signal
import threading
from pathlib import Path

import pytest
import watching
from hypothesis import HealthCheck, settings
from pictures import drawn_samples, photographs
from shards_on_disk import write_shards
from slowing import MEASURING, SLOW, Clock

settings.register_profile("without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without a clock")

_FRAMEWORKS = Path(__file__).parent / "frameworks"


def pytest_ignore_collect(collection_path, config):
    """Leave out tests/frameworks, which need an environment of their own, unless they are asked for by name."""
    asked = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    named = any(path == _FRAMEWORKS or _FRAMEWORKS in path.parents for path in asked)
    return True if collection_path == _FRAMEWORKS and not named else None


UNEVEN = (31, 1, 120, 64, 99, 7, 67)


@pytest.fixture(scope="session")
def drawn():
    """389 drawn (key, label, jpeg), the same on every machine."""
    return drawn_samples(sum(UNEVEN))


@pytest.fixture(scope="session")
def uneven(drawn, tmp_path_factory):
    """The drawn samples in seven shards of 1 to 120 samples; returns (brace url, samples in listed order)."""
    return write_shards(tmp_path_factory.mktemp("uneven"), "part", drawn, UNEVEN), drawn


@pytest.fixture(scope="session")
def photos():
    """64 JPEG files of 300 to 500 pixels a side, in colour and gray, some turned by EXIF."""
    return photographs(64)


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path_factory, monkeypatch):
    """A user's cache of the test's own, so that no test finds what another has counted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))


@pytest.fixture(autouse=True)
def _threads_of_its_own():
    """Note which threads a test finds, so that it does not wait for those of another."""
    watching.EARLIER.clear()
    watching.EARLIER.update(threading.enumerate())


@pytest.fixture
def clock(monkeypatch):
    """The clock by which chains measure themselves, which moves where `SLOW`, or the test, moves it."""
    SLOW.clock, SLOW.part = Clock(), None
    for module in MEASURING:
        monkeypatch.setattr(f"streamaug.{module}.time", SLOW.clock)
    return SLOW.clock


@pytest.fixture
def interruptible():
    """Have SIGINT interrupt this process and those it starts.

    A shell without job control starts what it puts in the background with SIGINT ignored, and a process hands that on.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
