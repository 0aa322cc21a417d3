"""Which licences what we depend on may have.

In: what pip-licenses says of the packages of an environment. Out: a sentence for each package of another licence.
"""

import re
from collections.abc import Mapping, Sequence

#: Words of a licence's name or SPDX expression, all of which allow use and redistribution beside Apache-2.0 code.
ALLOWED = re.compile(
    r"0BSD|Apache|BSD|BSL-1\.0|Boost|CC0|CNRI-Python|HPND|ISC|MIT|MPL|Mozilla Public License|OFL|PSF|"
    r"Public Domain|Python Software Foundation|Unlicense|Zlib",
    re.IGNORECASE,
)
#: Packages of a licence that is not in the list, with the reason why they may be installed.
EXCEPTIONS = {
    "crc32c": "LGPL 2.1 or later: it is imported as it is and can be replaced; it is not part of our archives",
    "cuda-toolkit": "NVIDIA's list of the libraries that torch's builds for GPUs need has no licence, and no code",
    "nvidia-": "NVIDIA's own terms allow use of the libraries that DALI loads; they are not part of our archives",
}


def licence_problems(packages: Sequence[Mapping[str, str]]) -> list[str]:
    """A sentence for each package whose licence is neither allowed nor excepted."""
    problems = []
    for package in packages:
        name, licence = package["Name"], package["License"]
        if name == "streamaug" or name.startswith(tuple(EXCEPTIONS)):
            continue
        parts = re.split(r";| AND | and ", licence)
        if not all(any(ALLOWED.search(choice) for choice in re.split(r" OR ", part)) for part in parts):
            problems.append(f"{name} {package['Version']}: {licence}")
    return problems
