"""What a wheel and an sdist must hold, and what they must not.

In: an archive. Out: a sentence for each problem; none if it is right.
"""

import tarfile
import zipfile
from pathlib import Path

#: Folders and files of the repository that an sdist has, so that its tests and `make` work from it.
IN_SDIST = (
    *("streamaug/__init__.py", "streamaug/py.typed", "tests/conftest.py", "benchmarks/harness.py", "docs/index.md"),
    *("docs/conf.py", "docs/images/cat.jpg", "pipelines/demo.py", "release/check_dist.py", "constraints.txt"),
    *("constraints-minimum.txt", "Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "PKG-INFO"),
)
#: Endings of what builds and tests leave behind.
_LEFT_BEHIND = (".pyc", ".tar", ".log", ".orig", "~")


def wheel_problems(wheel: Path) -> list[str]:
    """What is wrong with a wheel: it must hold the package, typed and licensed, and nothing beside it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    about = next((name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA")), "")
    problems = [f"{name} is missing" for name in ("streamaug/__init__.py", "streamaug/py.typed") if name not in names]
    if not any(name.startswith(f"{about}/licenses/LICENSE") for name in names):
        problems.append("the licence is missing")
    if not any("streamaug = streamaug.cli:main" in text for text in entry_points):
        problems.append("the command streamaug is missing")
    problems += [
        f"{name} does not belong there" for name in names if name.partition("/")[0] not in ("streamaug", about)
    ]
    return problems + left_behind(names)


def sdist_problems(sdist: Path) -> list[str]:
    """What is wrong with an sdist."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    return [f"{name} is missing" for name in IN_SDIST if name not in names] + left_behind(names)


def left_behind(names: list[str]) -> list[str]:
    """A sentence for each file that a build or a test left behind."""
    return [f"{name} was left behind" for name in names if name.endswith(_LEFT_BEHIND) or "__pycache__" in name]
