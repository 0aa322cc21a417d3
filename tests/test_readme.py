"""The README's examples run, in order, and print what it says they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from pictures import drawn_samples
from shards_on_disk import write_shards

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def demo_data(tmp_path, monkeypatch):
    """Shards where the README expects those of `make demo`, as many and as large."""
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    samples = [(key, number % 10, jpeg) for number, (key, _, jpeg) in enumerate(drawn_samples(2500))]
    write_shards(folder, "train", samples[:2000], [250] * 8)
    write_shards(folder, "val", samples[2000:], [250] * 2)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_examples_print_what_the_readme_says(demo_data):
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        assert printed.getvalue() == expected
