"""DALI is imported in one module, `ops/nodes.py`, however an import may be written."""

import ast
from pathlib import Path

import streamaug

_PACKAGE = Path(streamaug.__file__).parent
_HOME = "ops/nodes.py"


def mentions(source):
    """Lines on which source code imports from `nvidia`, or holds a string that an import of it could be made of."""
    tree = ast.parse(source)
    documentation = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            modules = [node.value]
        if any(module.split(".")[0].strip() == "nvidia" for module in modules):
            yield node.lineno


def test_dali_is_imported_in_one_module():
    homes = {
        path.relative_to(_PACKAGE).as_posix() for path in _PACKAGE.rglob("*.py") if list(mentions(path.read_text()))
    }
    assert homes == {_HOME}


def test_every_way_of_importing_dali_is_noticed():
    ways = [
        "import nvidia.dali",
        "import nvidia.dali.fn as fn",
        "from nvidia import dali",
        "from nvidia.dali import fn",
        "def f():\n    import nvidia",
        "import_module('nvidia.dali.fn')",
        "__import__('nvidia')",
        "importlib.import_module(name='nvidia.dali')",
        "NAME = 'nvidia.dali'",
    ]
    assert [way for way in ways if not list(mentions(way))] == []
    assert list(mentions('"""nvidia.dali is imported elsewhere."""\nimport numpy')) == []


def test_the_private_conditional_of_dali_is_used_in_one_module():
    homes = {
        path.relative_to(_PACKAGE).as_posix()
        for path in _PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "_conditional"
    }
    assert homes == {_HOME}
