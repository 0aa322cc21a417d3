"""Writes the tables and charts of docs/evidence.md from accuracy.json and evaluate.json in results/, and published.py.

python benchmarks/evidence.py            # write
python benchmarks/evidence.py --check    # say what differs, exit code 1 if anything does
"""

import argparse
import json
import re
from pathlib import Path

from evidence_charts import charts
from evidence_tables import tables
from harness import RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence.md"


def filled(page: str, contents: dict[str, str]) -> str:
    """The page with each table between its comments `<!-- name -->` and `<!-- end -->`.

    Raises:
        ValueError: If the page lacks the comments of a table, or has comments without a table.
    """
    places = re.findall(r"<!-- (?!end)(.+?) -->", page)
    if sorted(places) != sorted(contents):
        raise ValueError(f"docs/evidence.md: must have a place for each of {sorted(contents)}, got {sorted(places)}.")
    for name, content in contents.items():
        pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = pattern.sub(lambda found, content=content: f"{found[1]}\n{content}\n\n{found[2]}", page)
    return page


def differing() -> dict[Path, str]:
    """Files that differ from the results, with their correct contents."""
    accuracy, evaluate = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("accuracy", "evaluate"))
    wanted = {PAGE: filled(PAGE.read_text(), tables(accuracy, evaluate))}
    wanted |= {RESULTS / name: content for name, content in charts(accuracy, evaluate).items()}
    return {path: content for path, content in wanted.items() if not path.exists() or path.read_text() != content}


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    only_check = parser.parse_args().check
    found = differing()
    for path, content in found.items():
        print(f"{path.name} {'differs' if only_check else 'written'}")
        if not only_check:
            path.write_text(content)
    return 1 if found and only_check else 0


if __name__ == "__main__":
    raise SystemExit(main())
