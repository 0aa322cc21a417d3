"""Shards of 97 drawn pictures for all loops, and no launcher's variables."""

import loops
import pytest
from pictures import drawn_samples
from shards_on_disk import write_shards
from two import LAUNCHERS

#: What the frameworks warn of themselves, about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("frameworks"), "part", drawn_samples(sum(loops.SIZES)), loops.SIZES)


@pytest.fixture(scope="session")
def mixed_places(url):
    """{digest: [epoch, step]} of the mixed chain."""
    return loops.places(url, loops.mixed)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
