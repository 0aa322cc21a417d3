"""Whether DALI can be imported as it is installed: each version of CUDA has a build, and all install the same folder.

In: `importlib.metadata` and Python's flags. Out: a warning where two builds are installed, once a process; an error
where Python strips docstrings. It does not import DALI. Builds are looked up by name: a list of all that is installed
reads a file for each package, 0.15 s of CPU time for 128 of them.
"""

import sys
import warnings
from functools import cache
from importlib.metadata import distributions

from streamaug.errors import StreamaugError

#: The build that this package depends on.
REQUIRED = "nvidia-dali-cuda120"
#: Every build that there can be: for CUDA 10.2, and for the first version of each other generation.
_BUILDS = [
    f"nvidia-dali{kind}-cuda{cuda}" for kind in ("", "-weekly", "-nightly") for cuda in (102, *range(90, 200, 10))
]


def installed_builds() -> list[str]:
    """The names of DALI's builds that are installed, sorted."""
    return sorted(name for name in _BUILDS if any(True for _ in distributions(name=name)))


def require_docstrings() -> None:
    """Refuse `python -OO`, under which DALI's own import fails: it adds to docstrings, and none are there.

    Raises:
        StreamaugError: If this process has no docstrings.
    """
    if sys.flags.optimize > 1:
        raise StreamaugError(
            "DALI: Python must keep docstrings, which DALI adds to when it is imported, got -OO or "
            "PYTHONOPTIMIZE=2. Run python -O, which leaves them."
        )


@cache
def warn_of_two_builds() -> None:
    """Warn, once a process, if several builds of DALI are installed: each has overwritten files of the other."""
    builds = installed_builds()
    if len(builds) < 2:
        return
    kept = REQUIRED if REQUIRED in builds else builds[-1]
    warnings.warn(
        f"augment: one build of DALI must be installed, since all builds share the folder nvidia/dali, got "
        f"{' and '.join(builds)}: their files are mixed. Run: pip uninstall -y {' '.join(builds)} && "
        f"pip install {kept} (docs/gpu.md says which to keep)",
        UserWarning,
        stacklevel=5,
    )
