"""The examples of the pages run, paths exist, public names exist; the README's table is the folder list."""

import contextlib
import inspect
import io
import pkgutil
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from pictures import drawn_samples
from shards_on_disk import write_shards

import streamaug as sa
from streamaug import ops

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "streamaug"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = {module.parent.name for module in PACKAGE.glob("*/*.py")}
MODULES = {module.stem for module in PACKAGE.glob("[!_]*.py")}
#: A path of ours ends like this, or begins in a folder at the root; a name in the file may follow, as in pytest's ids.
_PATH = re.compile(r"(?:[\w.-]+/)*(?:[\w-]+\.(?:py|md|toml|ya?ml)|[\w.-]+/)(?:::\w+)?")
_ROOTED = re.compile(r"(?:streamaug|tests|docs|benchmarks|pipelines)(?:/[\w.-]+)+")


def test_the_examples_run_and_do_what_they_say(tmp_path, monkeypatch):
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    samples = [
        (key, 999 if number % 9 == 0 else label % 999, jpeg)
        for number, (key, label, jpeg) in enumerate(drawn_samples(160))
    ]
    url = write_shards(folder, "train", samples, [20] * 8)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "operations"}
    printed = io.StringIO()
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, "operations.md", "exec"), names)
    text = printed.getvalue()
    assert "Perspective" in text
    assert "(64, 3, 64, 64)" in text.splitlines()[-1]
    assert int(text.split()[-1]) <= 99
    own = names["own"]
    shards = sa.ShardSet.open(url)
    plain = sa.Recipe([sa.ops.Resize(64)], output=own.output)
    images = []
    for recipe in (plain, own):
        reader = sa.ShardReader(shards, batch_size=160, shuffle=False)
        images.append(next(iter(reader.augment(recipe, device="cpu"))).images)
    changed = [not torch.equal(a, b) for a, b in zip(*images, strict=True)]
    assert 0.3 * 160 < sum(changed) < 0.7 * 160
    ratio = [(b.mean((1, 2)) / a.mean((1, 2))).numpy() for a, b in zip(*images, strict=True)]
    assert np.ptp(ratio) > 0.5


@pytest.mark.slow
def test_the_stage_of_ones_own_resumes_exactly_and_goes_red_without_its_key(tmp_path, monkeypatch):
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    write_shards(folder, "train", drawn_samples(512), [64] * 8)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "stages.md").read_text(), re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "stages.md", "exec"), {"__name__": "stages"})
    assert printed.getvalue() == "3 sizes\n"
    keyed = "default_rng((origin.seed, origin.epoch, origin.step))"
    assert keyed in block
    with pytest.raises(AssertionError, match="must be as in an unbroken run, but images"):
        exec(compile(block.replace(keyed, "default_rng()"), "stages.md", "exec"), {"__name__": "stages"})


@pytest.mark.slow
@pytest.mark.parametrize("page", ["mixing", "tta"])
def test_the_examples_print_what_their_page_says(tmp_path, monkeypatch, page):
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    split, sizes = {"mixing": ("train", [250] * 8), "tta": ("val", [250] * 2)}[page]
    drawn = enumerate(drawn_samples(sum(sizes)))
    write_shards(folder, split, [(key, number % 10, jpeg) for number, (key, _, jpeg) in drawn], sizes)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / f"{page}.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python") >= 4
    names = {"__name__": page}
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{page}.md", "exec"), names)
        assert printed.getvalue() == expected


class Writer:
    """Stands for TensorBoard's writer, a run of W&B and a gauge of Prometheus: takes names and numbers."""

    def __init__(self, *_, **__):
        self.numbers = {}

    def add_scalar(self, name, value, step):
        assert isinstance(step, int)
        self.numbers[name] = value

    def log(self, numbers):
        self.numbers |= numbers

    def labels(self, name):
        return SimpleNamespace(set=partial(self.numbers.__setitem__, name))


LOGGERS = {
    "torch.utils.tensorboard": ("SummaryWriter", "writer", "data/"),
    "wandb": ("init", "run", "data/"),
    "prometheus_client": ("Gauge", "gauge", ""),
}


def test_the_numbers_of_a_run_go_to_every_logger_by_three_lines(tmp_path, monkeypatch):
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    write_shards(folder, "train", drawn_samples(1920), [240] * 8)
    monkeypatch.chdir(tmp_path)
    for module, (name, _, _) in LOGGERS.items():
        fake = ModuleType(module)
        setattr(fake, name, Writer)
        monkeypatch.setitem(sys.modules, module, fake)
    blocks = re.findall(r"```(python|text)\n(.*?)```", (ROOT / "docs" / "monitoring.md").read_text(), re.DOTALL)
    code = [text for kind, text in blocks if kind == "python"]
    assert len(code) == 5
    names, printed = {"__name__": "monitoring"}, io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        for block in code:
            exec(compile(block, "monitoring.md", "exec"), names)
    assert printed.getvalue() in [text for kind, text in blocks if kind == "text"]
    expected = names["chain"].stats().as_dict()
    for _, variable, prefix in LOGGERS.values():
        assert names[variable].numbers == {f"{prefix}{name}": value for name, value in expected.items()}
    for block in code[2:]:
        assert len([line for line in block.splitlines() if line and "import" not in line]) <= 3


def words(document):
    """The words of everything in backticks, outside of blocks of code."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return sorted({word for span in re.findall(r"`([^`\n]+)`", prose) for word in span.split()})


def paths(document):
    return [word for word in words(document) if is_path(word)]


def is_path(word):
    return bool(_PATH.fullmatch(word) or _ROOTED.fullmatch(word))


def found(path):
    """The file or folder that a document means: from the root, or from the package; a bare file name, anywhere."""
    places = [ROOT / path, PACKAGE / path]
    if "/" not in path:
        places += [
            file
            for folder in ("streamaug", "tests", "benchmarks", "pipelines", "docs")
            for file in sorted((ROOT / folder).rglob(path))
        ]
    return next((place for place in places if place.exists()), None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_path_in_backticks_exists_and_holds_the_name_after_it(document):
    for path in paths(document):
        file, _, name = path.partition("::")
        place = found(file)
        assert place is not None, path
        assert not name or re.search(rf"^(def |class )?{name}\b", place.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_public_name_in_backticks_exists(document):
    classes = {name: value for name, value in {**vars(ops), **vars(sa)}.items() if inspect.isclass(value)}
    for word in words(document):
        if is_path(word):
            continue
        owner, _, attribute = word.rstrip("()").partition(".")
        if owner in classes and attribute.isidentifier():
            assert hasattr(classes[owner], attribute), word
        if owner in (MODULES | FOLDERS) & set(sa.__all__) and attribute.isidentifier():
            assert hasattr(getattr(sa, owner), attribute), word
        if owner == "streamaug" and all(part.isidentifier() for part in attribute.split(".")):
            assert pkgutil.resolve_name(word.rstrip("()")) is not None, word


def test_every_guarantee_of_the_readme_names_its_tests():
    section = (ROOT / "README.md").read_text().partition("\n## What is guaranteed")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \| (.*) \|$", section, re.MULTILINE)[1:]
    assert len(rows) > 10
    for claim, tests in rows:  # that they exist is tested above
        assert all("::test_" in name for name in re.findall(r"`([^`]+)`", tests)), claim
        assert "`tests/" in tests, claim


def table():
    """The names in the first column of the README's table of folders."""
    section = (ROOT / "README.md").read_text().partition("## How data flows")[2].partition("\n## ")[0]
    section = section.partition("| page |")[0]  # the table of pages
    return re.findall(
        r"`([^`]+)`", " ".join(row.split("|")[1] for row in re.findall(r"^\|.*\|$", section, re.MULTILINE))
    )


def test_the_readmes_table_is_the_folder_list():
    named = table()
    assert len(named) == len(set(named))
    assert {name.rstrip("/") for name in named if name.endswith("/")} == FOLDERS
    assert {name for name in named if not name.endswith("/")} == MODULES


def test_the_readmes_picture_names_folders():
    picture = re.search(r"```text\n(stages .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    engines = re.findall(r"\w+", picture.splitlines()[-1])
    assert engines == ["storage", "shards", "order", "reader", "dali", "mix", "tta"]
    assert set(engines) <= FOLDERS
    stages = re.findall(r"[A-Z]\w+", picture.splitlines()[0])
    assert stages
    assert all(hasattr(sa, stage) for stage in stages)
