"""The package as a whole: its public names, its errors, and what importing it loads."""

import inspect
import json
import pickle
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import streamaug
from streamaug import errors, integrations, ops

ROOT = Path(__file__).resolve().parents[1]

#: Every public name, by the module that a user imports it from; the operations are found, not listed.
PUBLIC = {
    "streamaug": [
        *("Annotations", "Augmenter", "Batch", "CutMix", "EncodedBatch", "MapBatch", "MapSamples", "MixPlan", "Mixup"),
        *("MixupOrCutMix", "Origin", "Output", "Prediction", "Recipe", "SampleOrder", "ShardReader", "ShardSet"),
        *("Stage", "StageStats", "Stats", "StorageOptions", "TestTimeAugment"),
        *("BadSampleError", "IndexFormatError", "RecipeError", "ShardError", "StateError", "StorageError"),
        *("StreamaugError", "TargetError"),
        *("errors", "geometry", "mix", "ops", "order", "progress", "random", "recipes", "tta"),
    ],
    "streamaug.errors": [
        *("BadSampleError", "IndexFormatError", "RecipeError", "ShardError", "StateError", "StorageError"),
        *("StreamaugError", "TargetError"),
    ],
    "streamaug.geometry": [
        *("about_center", "homography", "identity", "inscribed_rectangle", "inscribed_zoom", "rotation", "scaling"),
        *("shearing", "transform_points", "translation", "window"),
    ],
    "streamaug.mix": [
        *("MixPlan", "SparseTargets", "accuracy", "apply", "beta", "collate", "cutmix", "cutmix_box", "mix_targets"),
        *("mixup", "off_from", "partners", "ramp", "soft_target_cross_entropy", "zip_mixup"),
    ],
    "streamaug.ops": [
        "CORNERS",
        "Arguments",
        "Border",
        "Geometric",
        "Operation",
        "Photometric",
        "Policy",
        "StaticFrame",
    ],
    "streamaug.order": ["Order", "OrderOptions", "Ordering", "SampleOrder", "Tail"],
    "streamaug.random": ["Stream", "keys", "philox4x32", "uniform", "words"],
    "streamaug.recipes": ["VIEWS", "imagenet_eval", "imagenet_train", "imagenet_tta", "view_names"],
    "streamaug.tta": [
        *("METHODS", "Metrics", "TTAReport", "TTAWeights", "ViewSelection", "collect_logits", "fit_tta_weights"),
        *("gather_predictions", "measure", "merge", "merge_predictions", "read_predictions", "select_views"),
        *("view_logits", "write_predictions"),
    ],
    "streamaug.testing": ["assert_resumes_exactly", "differences"],
    "streamaug.integrations.accelerate": ["StageLoader", "prepare"],
    "streamaug.integrations.ranks": ["mpi", "of_mesh", "slurm"],
    "streamaug.integrations.timm": ["Loader", "mixing_arguments"],
    "streamaug.integrations.torchdata_nodes": ["StageNode"],
}


#: Those that can be imported only beside their framework; tests/frameworks looks at what they hold.
OF_FRAMEWORKS = {
    "streamaug.integrations.lightning": ["LoaderState", "StreamDataModule"],
    "streamaug.integrations.transformers": ["LoaderState", "StreamTrainerMixin"],
}


def modules_of(package):
    """The modules of a package, imported."""
    return [import_module(found.name) for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


def operations():
    """The names of all operations that a file of ops defines, but for the bases."""
    return {
        name
        for module in modules_of(ops)
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, ops.Operation)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
        and not name.startswith("_")
    }


def visible(module):
    """The names without an underscore that a user can take from a module, without modules of our own that it imports.

    Of a plain module these are what it defines; of a package, whatever its `__init__` holds.
    """
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    if not hasattr(module, "__path__"):
        return {name for name, value in names.items() if getattr(value, "__module__", None) == module.__name__}
    listed = set(module.__all__)
    return {
        name
        for name, value in names.items()
        if name in listed or not (isinstance(value, ModuleType) and value.__name__.startswith("streamaug."))
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_names_are_the_documented_ones_and_no_others(name):
    module = import_module(name)
    documented = {*PUBLIC[name], *(operations() if name == "streamaug.ops" else ())}
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) == documented
    assert all(getattr(module, public) is not None for public in module.__all__)
    assert visible(module) == documented


def test_every_public_module_is_in_the_table():
    within = {f"streamaug.{name}" for name in streamaug.__all__ if isinstance(getattr(streamaug, name), ModuleType)}
    bridges = {f"streamaug.integrations.{found.name}" for found in pkgutil.iter_modules(integrations.__path__)}
    assert set(PUBLIC) | set(OF_FRAMEWORKS) == {"streamaug", "streamaug.testing"} | within | bridges


@pytest.mark.parametrize("name", OF_FRAMEWORKS)
def test_the_bridges_to_frameworks_list_their_public_names(name):
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text()
    (listed,) = re.findall(r"^__all__ = (\[.*\])$", source, re.MULTILINE)
    assert json.loads(listed) == OF_FRAMEWORKS[name]
    assert all(re.search(rf"^class {public}\b", source, re.MULTILINE) for public in OF_FRAMEWORKS[name])


def drawn_tree():
    """Class to the class that the drawing in `errors` hangs it on."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.fullmatch(r"    ([ │├└─]*)(\w+Error)\b.*", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_of_errors_is_the_one_that_is_drawn():
    assert drawn_tree() == {name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__}


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_the_root_and_survives_pickling(name):
    kind = getattr(errors, name)
    assert issubclass(kind, streamaug.StreamaugError)
    again = pickle.loads(pickle.dumps(kind("text")))
    assert (type(again), str(again)) == (kind, "text")


def test_importing_loads_neither_dali_nor_the_slow_parts_of_other_packages():
    code = "import json, sys; from streamaug import *; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout))
    assert "streamaug.stages.augmenter" in loaded
    assert loaded & {"nvidia.dali", "scipy.stats", "scipy.optimize", "PIL.Image", "boto3", "torchdata"} == set()


def requirements(extra=None):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(text) for text in texts]


def extras():
    """The extras that users install and that the tests of this environment use; Ray has the frameworks' environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"].keys() - {"dev", "docs", "ray"}


def lowest(requirement):
    (bound,) = [part.version for part in requirement.specifier if part.operator == ">="]
    return Version(bound)


def test_the_minimum_constraints_are_the_lowest_versions_that_are_allowed():
    lines = (ROOT / "constraints-minimum.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {name: Version(version) for name, version in pairs}
    asked = [*requirements(), *(requirement for extra in extras() for requirement in requirements(extra))]
    bounds = {requirement.name: lowest(requirement) for requirement in asked}
    assert pinned.keys() == bounds.keys()
    # torch's older builds for the CPU alone cannot be had from the package index, so its bound is not tested.
    assert {name for name in bounds if pinned[name] != bounds[name]} == {"torch"}


@pytest.mark.parametrize("name", ["nvidia-dali-cuda120", "obstore", "webdataset"])
def test_a_package_whose_private_surface_we_use_is_bounded_above(name):
    (requirement,) = [requirement for requirement in requirements() if requirement.name == name]
    assert any(part.operator == "<" for part in requirement.specifier)
