"""DALI as it is installed: two builds are a warning with the way out, and Python without docstrings is an error."""

import subprocess
import sys
import warnings

import pytest

from streamaug import recipes
from streamaug.dali import builds
from streamaug.dali.engine import AugmentEngine


@pytest.fixture(autouse=True)
def _anew():
    builds.warn_of_two_builds.cache_clear()
    yield
    builds.warn_of_two_builds.cache_clear()


def install(folder, monkeypatch, *names):
    """Installed distributions, as `importlib.metadata` finds them."""
    for name in names:
        metadata = folder / f"{name.replace('-', '_')}-2.4.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.4.0\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@pytest.mark.parametrize("other", ["nvidia-dali-cuda110", "nvidia-dali-cuda130", "nvidia-dali-nightly-cuda130"])
def test_two_builds_are_named_with_the_command_that_leaves_one(tmp_path, monkeypatch, other):
    install(tmp_path, monkeypatch, other)
    with pytest.warns(UserWarning, match=r"^augment: one build of DALI must be installed") as caught:
        AugmentEngine(recipes.imagenet_eval(), device="cpu")
    text = str(caught[0].message)
    both = sorted(["nvidia-dali-cuda120", other])
    assert f"got {' and '.join(both)}" in text
    assert f"pip uninstall -y {' '.join(both)} && pip install nvidia-dali-cuda120" in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AugmentEngine(recipes.imagenet_eval(), device="cpu")  # once a process


def test_one_build_and_what_is_no_build_of_dali_are_no_warning(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "nvidia-dali-tf-plugin-cuda130", "nvidia-nvimgcodec-cu13")
    assert len(builds.installed_builds()) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        builds.warn_of_two_builds()


def test_where_the_required_build_is_not_there_the_newest_stays(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "nvidia-dali-cuda130", "nvidia-dali-cuda140")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.warns(UserWarning, match="&& pip install nvidia-dali-cuda140"):
        builds.warn_of_two_builds()


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_python_without_docstrings_is_an_error_and_without_assert_is_none(flag):
    program = (
        "from streamaug import recipes; from streamaug.dali.engine import AugmentEngine\n"
        "AugmentEngine(recipes.imagenet_eval(), device='cpu')"
    )
    done = subprocess.run([sys.executable, flag, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == (flag == "-OO"), done.stderr
    if flag == "-OO":
        assert "StreamaugError: DALI: Python must keep docstrings" in done.stderr
        assert "Run python -O, which leaves them." in done.stderr
