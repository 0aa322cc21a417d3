"""What `import streamaug` and the commands import, and what is left for later."""

import subprocess
import sys

import pytest

import streamaug
from streamaug.cli import COMMANDS

#: Slow to import, and needed by a graph, by mixing or by a command alone.
_LATER = ("nvidia.dali", "scipy", "PIL", "torchdata", "torch.distributed.checkpoint", "boto3")
#: Commands that need tensors or the order, and so torch; all others start in a fifth of its time.
_WITH_TORCH = {"batch", "bench", "order", "preview"}


def imported(code):
    """The modules that a fresh interpreter has after running the code, beyond those that it prints itself."""
    code += "\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def within(modules, package):
    return [name for name in modules if name == package or name.startswith(f"{package}.")]


@pytest.fixture(scope="module")
def modules():
    """What every public name of streamaug imports, beyond what torch does."""
    return imported("import sys, torch\nfrom streamaug import *") - imported("import sys, torch")


@pytest.mark.parametrize("package", _LATER)
def test_a_slow_package_is_not_imported_at_once(modules, package):
    assert within(modules, package) == []


def test_commands_without_tensors_start_without_torch():
    names = [name.replace("-", "_") for name in COMMANDS if name not in _WITH_TORCH]
    code = "import sys\n" + "\n".join(f"import streamaug.cli.{name}" for name in names)
    modules = imported(code)
    assert within(modules, "streamaug.cli.make_shards")
    assert [within(modules, package) for package in ("torch", "nvidia", "webdataset", "ray")] == [[], [], [], []]


def test_every_public_name_is_found_and_no_other():
    for name in streamaug.__all__:
        assert getattr(streamaug, name) is getattr(streamaug, name)
        assert name in dir(streamaug)
    with pytest.raises(AttributeError, match="module 'streamaug' has no attribute 'nothing'"):
        streamaug.nothing  # noqa: B018 - asked for, to fail
