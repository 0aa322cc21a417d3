"""The README's examples run, in order, and print what it says they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from conftest import drawn_samples, write_shard

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def demo_data(tmp_path, monkeypatch):
    """Shards where the README expects those of `make demo`, as many and as large."""
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    samples = [(key, number % 10, jpeg) for number, (key, _, jpeg) in enumerate(drawn_samples(2500))]
    for name, rows, shards in (("train", samples[:2000], 8), ("val", samples[2000:], 2)):
        size = len(rows) // shards
        for number in range(shards):
            write_shard(folder / f"{name}-{number:06d}.tar", rows[size * number : size * (number + 1)])
    monkeypatch.chdir(tmp_path)


def test_examples_print_what_the_readme_says(demo_data):
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        assert printed.getvalue() == expected


def test_every_path_that_the_readme_names_exists():
    text = README.read_text()
    for path in set(re.findall(r"`((?:tests|pipelines|benchmarks|docs)/[\w/.]*)`", text)):
        assert (README.parent / path).exists(), path
