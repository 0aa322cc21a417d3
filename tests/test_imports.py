"""Who imports whom: no circle but that of the stages, whether a file imports when it is loaded or when it is called."""

import grimp

#: What may lie in a circle: the stages, since each offers the stages that may follow it (`stages/fluent.py`).
STAGES = "streamaug.stages."


def imports(*, type_checking):
    """Module to the modules of ours that it imports anywhere in its file."""
    graph = grimp.build_graph("streamaug", exclude_type_checking_imports=not type_checking, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def reached(graph, start):
    """All modules that a module imports, directly or through others."""
    seen, waiting = set(), [start]
    while waiting:
        for module in graph[waiting.pop()] - seen:
            seen.add(module)
            waiting.append(module)
    return seen


def in_circles(graph):
    """The modules that import themselves through others."""
    return {module for module in graph if module in reached(graph, module)}


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert in_circles(graph) == {"b", "c"}


def test_the_only_circle_of_imports_is_that_of_the_stages():
    found = in_circles(imports(type_checking=False))
    assert {module for module in found if not module.startswith(STAGES)} == set()
    assert f"{STAGES}fluent" in found


def test_for_types_alone_batch_and_mix_name_each_other_and_nobody_else_does():
    found = in_circles(imports(type_checking=True))
    others = {module for module in found if not module.startswith(STAGES)}
    assert {module.split(".")[1] for module in others} == {"batch", "mix"}


def test_the_circle_of_the_stages_is_closed_by_one_file():
    graph, fluent = imports(type_checking=False), f"{STAGES}fluent"
    without = {module: imported - {fluent} for module, imported in graph.items() if module != fluent}
    assert {module for module in in_circles(without) if module.startswith(STAGES)} == set()
