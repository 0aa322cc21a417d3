"""Builds the wheel and the sdist and tries them as a stranger would: `make dist`.

In: the repository. Out: dist/, a table of what was run and what was not, with the reason, and the exit status: 1 if
anything that was run failed. Every Python that is there gets a clean environment with the wheel in it, in which
`installed.py` and the sdist's own tests run outside the tree; its packages, which differ by Python, are looked up for
licences and known vulnerabilities. Where the index has no build of torch for CPUs, pip takes that for GPUs: some 7 GB
on the disk until the environment has been looked into. Nothing is uploaded.

    .venv-dist/bin/python release/check_dist.py --pythons 3.11 3.12 3.13
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archives import sdist_problems, wheel_problems
from licences import licence_problems

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
#: The tests that the sdist runs: arithmetic, which needs no server and no decoder.
SDIST_TESTS = ("tests/order", "tests/mix", "tests/test_random.py", "tests/test_import.py")
#: Without compiling, which would take longer than what is tried.
INSTALL = ("-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "-c", ROOT / "constraints.txt")


@dataclass(frozen=True)
class Row:
    """A line of the table: what, how it ended ("passed", "FAILED" or "not run"), and the figures or the reason."""

    what: str
    outcome: str
    detail: str


class StepError(Exception):
    """A step that failed, with the end of what it printed."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a program without this process's Python settings; its stdout.

    Raises:
        StepError: If it exits with another status than 0.
    """
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"{done.stdout}\n{done.stderr}".strip()[-2000:])
    return done.stdout


def interpreter(version: str) -> Path | None:
    """The Python of a version, on the PATH or of pyenv; None where there is none that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    for candidate in filter(None, candidates):
        try:
            found = run(candidate, "-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))")
        except (StepError, OSError):
            continue
        if found.strip() == version:
            return Path(candidate)
    return None


def build() -> tuple[Path, Path]:
    """(wheel, sdist), the wheel made from the sdist, in an emptied dist/."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def checked(what: str, problems: Sequence[str], fine: str) -> Row:
    """A row for a list of problems."""
    return Row(what, "FAILED", "; ".join(problems)) if problems else Row(what, "passed", fine)


def installed(python: Path, wheel: Path, folder: Path) -> Iterator[Row]:
    """Install the wheel for a Python in a clean environment and run the short program there."""
    run(python, "-m", "venv", folder / "env")
    inside = folder / "env" / "bin" / "python"
    run(inside, *INSTALL, wheel)
    run(inside, "-m", "pip", "check", "--disable-pip-version-check")
    shutil.copy(ROOT / "release" / "installed.py", folder)
    yield Row("wheel", "passed", run(inside, "-I", folder / "installed.py", cwd=folder).strip().splitlines()[-1])


def sdist_tests(sdist: Path, folder: Path) -> Iterator[Row]:
    """The sdist's own fast tests of arithmetic, against the installed wheel."""
    inside = folder / "env" / "bin" / "python"
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    tree = folder / sdist.name.removesuffix(".tar.gz")
    shutil.rmtree(tree / "streamaug")  # so that nothing but the wheel can be imported
    run(inside, *INSTALL, "pytest", "hypothesis")
    printed = run(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *SDIST_TESTS, cwd=tree)
    yield Row("sdist: its fast tests of orders, mixing and random numbers", "passed", printed.strip().splitlines()[-1])


def licences(folder: Path) -> Iterator[Row]:
    """The licences of all that was installed, against the list of those that are allowed."""
    inside = folder / "env" / "bin" / "python"
    found = json.loads(run(Path(sys.executable).with_name("pip-licenses"), f"--python={inside}", "--format=json"))
    yield checked("licences", licence_problems(found), f"{len(found)} packages, all of allowed licences")


def audit(folder: Path) -> Iterator[Row]:
    """Known vulnerabilities of what was installed, as far as the service can be reached."""
    inside = folder / "env" / "bin" / "python"
    site = run(inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    program = Path(sys.executable).with_name("pip-audit")
    command = [str(program), "--path", site, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        yield Row("pip-audit", "not run", f"the service did not answer: {last[:160]}")
        return
    skipped = [each for each in packages if "skip_reason" in each]
    if len(skipped) == len(packages):
        first = f", the first: {skipped[0]['skip_reason']}" if skipped else ""
        reason = f"its service knew none of the {len(packages)} packages, so that none was looked up{first}"
        yield Row("pip-audit", "not run", reason)
        return
    bad = [f"{each['name']} {each['version']}: {found['id']}" for each in packages for found in each.get("vulns", ())]
    names = ", ".join(each["name"] for each in skipped) or "none"
    fine = f"{len(packages) - len(skipped)} packages, none known as vulnerable; not looked up: {names}"
    yield checked("pip-audit", bad, fine)


def steps(versions: Sequence[str]) -> Iterator[Row]:
    """Every row of the table, as it is found."""
    wheel, sdist = build()
    yield Row(
        "build", "passed", f"{wheel.name} {wheel.stat().st_size:,} bytes, {sdist.name} {sdist.stat().st_size:,} bytes"
    )
    yield checked("contents of the wheel", wheel_problems(wheel), "the package, py.typed and the licence; nothing else")
    yield checked("contents of the sdist", sdist_problems(sdist), "code, tests, docs, benchmarks and what `make` needs")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    yield Row("twine check --strict", "passed", "both")
    for version in versions:
        python = interpreter(version)
        if python is None:
            yield Row(f"Python {version}", "not run", f"no python{version} on the PATH or in pyenv")
            continue
        with tempfile.TemporaryDirectory(prefix="streamaug-dist-") as name:
            for row in looked_into(python, wheel, sdist, Path(name)):
                yield replace(row, what=f"Python {version}, {row.what}")


def looked_into(python: Path, wheel: Path, sdist: Path, folder: Path) -> Iterator[Row]:
    """The rows of a Python; those behind the wheel's need an environment in which the wheel works."""
    wheels = list(guarded("wheel", installed(python, wheel, folder)))
    yield from wheels
    if wheels[-1].outcome == "passed":
        yield from guarded("licences", licences(folder))
        yield from guarded("pip-audit", audit(folder))
        yield from guarded("sdist", sdist_tests(sdist, folder))


def guarded(what: str, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of a step; a failure becomes a row too."""
    try:
        yield from rows
    except StepError as error:
        yield Row(what, "FAILED", str(error))


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=["3.11", "3.12", "3.13"], metavar="VERSION")
    arguments = parser.parse_args()
    failed = False
    for row in guarded("build", steps(arguments.pythons)):
        failed |= row.outcome == "FAILED"
        print(f"{row.outcome:8}  {row.what}: {row.detail}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
