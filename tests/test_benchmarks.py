"""What the README says of speed is what benchmarks/results says; the set of benchmarks is whole, and fits its time."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"


def program(name):
    """A program of benchmarks/ as a module; they are no package."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{Path(name).stem}", BENCHMARKS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench, environments, table = (program(name) for name in ("bench.py", "peers/environments.py", "table.py"))


def test_the_readme_has_the_table_of_the_results():
    readme = table.README.read_text()
    assert table.replaced(readme) == readme, "Run python benchmarks/table.py."


def test_a_changed_result_changes_the_table(tmp_path):
    result = json.loads((table.RESULTS / "tta.json").read_text())
    (tmp_path / "tta.json").write_text(json.dumps(result))
    before = table.table(tmp_path)
    assert before.count("\n") == 2
    result["images_per_second"]["one decode"] = [123456.0]
    (tmp_path / "tta.json").write_text(json.dumps(result))
    assert table.table(tmp_path) != before
    assert "123,456 / " in table.table(tmp_path)


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="must have the lines"):
        table.replaced("# A readme\n")


def test_every_result_of_a_speed_has_rows():
    for path in table.RESULTS.glob("*.json"):
        assert path.stem in table.ROWS or "ratios" not in json.loads(path.read_text()), path.name
    for name in ("loader", "augment-heavy", "storage", "storage_peers", "mixing", "tta"):
        rows = list(table.ROWS[name](json.loads((table.RESULTS / f"{name}.json").read_text())))
        assert rows
        for row in rows:  # images/s beside every ratio
            assert re.search(r"\d / [\d,]+", row.speeds)


def test_results_name_no_path_of_a_machine():
    for path in table.RESULTS.glob("*.json"):
        assert not re.search(r"/(tmp|home|root|work)/", path.read_text()), path.name


def test_the_set_is_planned_within_its_time_and_every_file_is_there():
    assert sum(step.minutes for step in bench.STEPS.values()) <= bench.LIMIT
    for name, step in bench.STEPS.items():
        text = (BENCHMARKS / f"{name}.py").read_text()
        for option in re.findall(r"--[\w-]+", step.options + (" --peers" if step.peers else "")):
            assert f'"{option}"' in text, (name, option)


def test_every_environment_of_a_peer_is_pinned_and_torch_comes_first():
    assert environments.names() == sorted(environments.MODULES)
    for name in environments.names():
        lines = (environments.REQUIREMENTS / f"{name}.txt").read_text().splitlines()
        assert lines[0].startswith("torch==")
        assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in lines), name


def test_a_peer_is_found_in_its_own_environment_or_in_one_for_all(tmp_path):
    own, shared = tmp_path / "spdl" / "bin", tmp_path / "bin"
    for folder in (own, shared):
        folder.mkdir(parents=True)
        (folder / "python").touch()
    assert environments.python_of(tmp_path, "spdl") == str(own / "python")
    assert environments.python_of(tmp_path, "timm") == str(shared / "python")
    assert environments.python_of(shared / "python", "timm") == str(shared / "python")
    assert environments.python_of(None, "timm") is None
    assert environments.python_of(tmp_path / "nowhere", "timm") is None
