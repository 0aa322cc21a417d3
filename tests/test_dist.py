"""The wheel holds the package and nothing else; the checks of `make dist` see what is wrong with an archive."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from archives import IN_SDIST, sdist_problems, wheel_problems
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from licences import licence_problems

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """(wheel, sdist) of the repository as it stands."""
    folder = str(tmp_path_factory.mktemp("dist"))
    builders = (WheelBuilder(str(ROOT)), "standard"), (SdistBuilder(str(ROOT)), "standard")
    return [Path(next(builder.build(directory=folder, versions=[form]))) for builder, form in builders]


def test_the_wheel_holds_the_typed_package_alone(archives):
    wheel, _ = archives
    assert wheel_problems(wheel) == []
    names = zipfile.ZipFile(wheel).namelist()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "streamaug").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_the_sdist_holds_what_its_tests_and_make_need(archives):
    assert sdist_problems(archives[1]) == []


def test_what_does_not_belong_into_a_wheel_is_named(archives, tmp_path):
    wheel = tmp_path / archives[0].name
    with zipfile.ZipFile(archives[0]) as source, zipfile.ZipFile(wheel, "w") as changed:
        for name in source.namelist():
            if name != "streamaug/py.typed":
                changed.writestr(name, source.read(name))
        changed.writestr("tests/test_x.py", "")
        changed.writestr("streamaug/__pycache__/x.pyc", "")
    assert wheel_problems(wheel) == [
        "streamaug/py.typed is missing",
        "tests/test_x.py does not belong there",
        "streamaug/__pycache__/x.pyc was left behind",
    ]


def test_what_an_sdist_lacks_is_named(tmp_path):
    path = tmp_path / "x-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in IN_SDIST[1:]:
            archive.addfile(tarfile.TarInfo(f"x-1/{name}"), io.BytesIO())
    assert sdist_problems(path) == [f"{IN_SDIST[0]} is missing"]


@pytest.mark.parametrize(
    ("name", "licence", "allowed"),
    [
        ("a", "MIT License", True),
        ("a", "Apache-2.0 OR GPL-3.0-only", True),
        ("a", "BSD-3-Clause AND Zlib", True),
        ("a", "GNU General Public License v3 (GPLv3)", False),
        ("a", "MIT AND GPL-3.0-only", False),
        ("a", "UNKNOWN", False),
        ("crc32c", "GNU Lesser General Public License v2 or later (LGPLv2+)", True),
        ("nvidia-nvjpeg-cu12", "NVIDIA Proprietary Software", True),
        ("cuda-toolkit", "UNKNOWN", True),
    ],
)
def test_a_licence_that_is_not_in_the_list_is_named(name, licence, allowed):
    found = licence_problems([{"Name": name, "Version": "1", "License": licence}])
    assert found == ([] if allowed else [f"{name} 1: {licence}"])
