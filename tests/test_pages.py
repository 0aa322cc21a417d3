"""The pages as a whole: their programs run, their commands exist, and each of them is found from the start page."""

import fnmatch
import re
from pathlib import Path

import numpy as np
import pages
import pytest
from pictures import drawn_samples
from PIL import Image
from shards_on_disk import write_shards
from test_package import OF_FRAMEWORKS, PUBLIC

from streamaug.cli import COMMANDS, make_parser


@pytest.fixture
def demo_data(tmp_path, monkeypatch):
    """The demo's shards, fewer and smaller, and a folder of photographs: what pages take to be there."""
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    samples = [(key, number % 10, jpeg) for number, (key, _, jpeg) in enumerate(drawn_samples(480))]
    write_shards(folder, "train", samples, [60] * 8)
    for number in range(100):
        name = tmp_path / "photos" / f"class{number % 10}"
        name.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((80, 100, 3), 2 * number, np.uint8)).save(name / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_quick_start_runs_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages.run(pages.DOCS / "quick-start.md")
    with Image.open("preview.png") as picture:
        assert picture.width > 128


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset's, whose side of a page runs too
@pytest.mark.parametrize("page", ["migrating", "order"])
def test_the_programs_of_a_page_print_what_it_says(demo_data, page):
    pages.run(pages.DOCS / f"{page}.md")


@pytest.mark.slow
def test_the_chain_of_the_page_on_batches_is_one_that_the_command_can_take(demo_data):
    ((_, text),) = pages.blocks(pages.DOCS / "batch.md", "python")
    assert "s3://bucket/train-{000000..001281}.tar" in text
    names = {}
    exec(text.replace("s3://bucket/train-{000000..001281}.tar", "demo/data/train-{000000..000007}.tar"), names)
    with names["chain"]() as chain:
        assert tuple(chain.peek().targets.shape) == (256, 1000)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_program_is_run_by_a_test_or_says_that_it_is_not(page):
    if pages.blocks(page, "python"):
        tests = [test.read_text() for test in Path(__file__).parent.rglob("test_*.py")]
        named = re.compile(rf"[\"']{page.stem}(\.md)?[\"']")
        assert any(named.search(text) and ".md" in text for text in tests)
    assert all(text.startswith("# read, not run\n") for _, text in pages.blocks(page, "py"))


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_exists_with_its_options(page):
    for name, *rest in pages.commands(page):
        assert name in COMMANDS
        make_parser([name]).parse_args([name, *rest])


def entries(page):
    """The pages that a page's tables of contents name, as patterns without the suffix, from docs/."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    named = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
    return [str(page.parent.relative_to(pages.DOCS) / name) for name in named]


def test_every_page_stands_in_exactly_one_table_of_contents():
    patterns = [pattern for page in pages.DOCS.rglob("*.md") for pattern in entries(page)]
    for page in pages.DOCS.rglob("*.md"):
        name = str(page.relative_to(pages.DOCS).with_suffix(""))
        expected = 0 if name == "index" else 1
        assert sum(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) == expected, name
    for pattern in patterns:
        assert "*" in pattern or (pages.DOCS / f"{pattern}.md").exists(), pattern


def test_the_reference_documents_every_public_module_and_no_other():
    text = "".join(page.read_text() for page in sorted((pages.DOCS / "api").glob("*.md")))
    assert sorted(re.findall(r"automodule:: (\S+)", text)) == sorted({**PUBLIC, **OF_FRAMEWORKS})
