"""What the tests of the programs share: drawn shards, and a whole run on them."""

import pytest
from programs import read_log, run, training, weights


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """256 training images in 8 shards, 50 to validate in 2."""
    folder = tmp_path_factory.mktemp("drawn")
    return run("demo_dataset.py", folder, "--train", 256, "--val", 50).split()


@pytest.fixture(scope="session")
def whole(shards, tmp_path_factory):
    """A run without a break: its folder, its log, its weights."""
    folder = tmp_path_factory.mktemp("whole")
    output = run(*training(shards, folder, "run"))
    return folder, read_log(folder / "run"), weights(output)
