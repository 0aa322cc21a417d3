"""The installed builds of DALI: each version of CUDA has a build, and all install the same folder.

In: `importlib.metadata`. Out: a warning where two are installed, once a process. It does not import DALI.
"""

import re
import warnings
from functools import cache
from importlib.metadata import distributions

#: The build that this package depends on.
REQUIRED = "nvidia-dali-cuda120"
_BUILD = re.compile(r"nvidia-dali(-weekly|-nightly)?-cuda\d+")


def installed_builds() -> list[str]:
    """The names of DALI's builds that are installed, sorted."""
    names = {re.sub(r"[-_.]+", "-", distribution.name or "").lower() for distribution in distributions()}
    return sorted(name for name in names if _BUILD.fullmatch(name))


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
