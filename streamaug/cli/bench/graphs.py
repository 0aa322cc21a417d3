"""The parts of the augmenter: headers, the plan of a batch, decoding, and each operation of the recipe.

In: an augmenter and batches that it was given. Out: `Work`s. Each runs DALI's graph up to some point, on batches in
memory; the cost of an operation is the difference to the graph without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from streamaug.batch import EncodedBatch
from streamaug.cli.bench.clock import Work
from streamaug.cli.bench.subject import Subject, synchronize
from streamaug.dali.decode import decode
from streamaug.dali.device import default_threads, resolve_device
from streamaug.dali.feeds import SHAPE, START
from streamaug.dali.graph import define
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Job, Preparer, tensor_list
from streamaug.dali.runner import Runner
from streamaug.errors import RecipeError
from streamaug.ops import Resize
from streamaug.ops.base import Operation
from streamaug.ops.nodes import Node, dali_fn
from streamaug.recipes.recipe import Recipe
from streamaug.samples.image_header import Header, inspect
from streamaug.stages.augmenter import Augmenter

#: Adds nodes to the current pipeline: from the nodes of the inputs to those of the outputs.
Graph = Callable[[Sequence[Node]], Sequence[Node]]
#: The names of the part that decodes, and of the parts before DALI.
DECODE, PLAN = "decode", "plan of a batch"


def parts_of(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """(name, recipe up to it) of each part that can be measured apart from those before; the last is the whole recipe.

    Operations that make no recipe by themselves, such as a resize that needs a crop behind it, are one part with the
    next operation.
    """
    parts: list[tuple[str, Recipe]] = []
    names: list[str] = []
    seen: dict[str, int] = {}
    for count, operation in enumerate(recipe.operations, 1):
        names.append(_numbered(type(operation).__name__, seen))
        try:
            front = replace(recipe, operations=recipe.operations[:count], views=())
        except RecipeError:
            continue
        parts.append((" + ".join(names), front))
        names = []
    if recipe.views:
        parts.append((" + ".join([*names, f"{len(recipe.views)} views"]), recipe))
    return parts


def _numbered(name: str, seen: dict[str, int]) -> str:
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else f"{name} {seen[name]}"


def without_antialias(recipe: Recipe) -> Recipe | None:
    """The recipe with `antialias=False` everywhere; None where it makes no difference."""

    def changed(operations: Sequence[Operation]) -> list[Operation]:
        made: list[Any] = list(operations)
        filtering = [any(field.name == "antialias" for field in fields(each)) for each in made]
        return [replace(each, antialias=False) if has else each for each, has in zip(made, filtering, strict=True)]

    try:
        views = tuple(changed(view) for view in recipe.views)
        other = replace(recipe, operations=changed(recipe.operations), views=views)
    except RecipeError:  # a filter that needs antialiasing
        return None
    return None if other == recipe else other


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of the graph, with all parts before it.

    Attributes:
        name: The part's name.
        recipe: The recipe up to it.
        preparer: Makes its inputs.
        jobs: Batches, made ready.
    """

    name: str
    recipe: Recipe
    preparer: Preparer
    jobs: tuple[Job, ...]


class Graphs:
    """The parts of an augmenter's graph.

    Args:
        subject: The chain, which has an augmenter.
        augmenter: The augmenter.
        batches: Batches that it gets.

    Raises:
        BadSampleError: If a sample is bad, and the chain replaces none.
    """

    def __init__(self, subject: Subject, augmenter: Augmenter, batches: Sequence[EncodedBatch]) -> None:
        settings = augmenter.settings
        self.device = resolve_device(settings["device"], warn=False)
        self.threads: int = settings["num_threads"] or default_threads(subject.reader.ranks.settle()[1])
        self._settings, self._replace = settings, augmenter.source._replace
        self._whole = whole = augmenter.recipe(0)
        jobs = [self._preparer(whole).prepare(batch, self._replace) for batch in batches]
        self.batches = [job.batch for job in jobs]
        self.headers: list[Header] = [header for job in jobs for header in job.headers]
        self.parts = [self._part(name, recipe) for name, recipe in parts_of(whole)]
        other = without_antialias(whole)
        self.variant = None if other is None else self._part("antialias=False", other)

    @property
    def runs_ahead(self) -> bool:
        """Whether a thread of the engine's own prepares batches; else the thread that takes them does."""
        return self.parts[-1].preparer.runs_ahead

    def parsing(self) -> Work:
        """The headers of all images."""
        return _Parsing(self.batches, self._whole.apply_orientation)

    def preparing(self) -> dict[str, Work]:
        """The Python work of each part before DALI: headers, labels, the plan; that of a mere resize first."""
        plain = self._preparer(Recipe([Resize(self._whole.size)]))
        works: dict[str, Work] = {PLAN: _Preparing(plain, self.batches, self._replace)}
        for part in self.parts:
            works[part.name] = _Preparing(part.preparer, self.batches, self._replace)
        return works

    def own(self, part: Part) -> bool:
        """Whether a part adds an operation with code of the user's."""
        place = self.parts.index(part)
        before = len(self.parts[place - 1].recipe.operations) if place else 0
        return any(not type(each).__module__.startswith("streamaug.") for each in part.recipe.operations[before:])

    def running(self) -> dict[str, Work]:
        """DALI's work of each part; decoding first."""
        first = self.parts[0]
        works: dict[str, Work] = {DECODE: self._decode_alone(first)}
        for part in [*self.parts, *([self.variant] if self.variant else [])]:
            works[part.name] = self._whole_graph(part)
        return works

    def _preparer(self, recipe: Recipe) -> Preparer:
        return Preparer(
            Layout(recipe, "cpu" if self.device is None else "gpu"),
            self._settings["annotations"],
            num_classes=self._settings["num_classes"],
            targets=self._settings["targets"],
            num_threads=self.threads,
        )

    def _part(self, name: str, recipe: Recipe) -> Part:
        preparer = self._preparer(recipe)
        return Part(name, recipe, preparer, tuple(preparer.prepare(batch, self._replace) for batch in self.batches))

    def _decode_alone(self, part: Part) -> Work:
        """The graph up to the decoded windows, of which a single pixel each goes out."""
        load, kind = self._settings["hw_decoder_load"], part.preparer.layout.device
        names = (START, SHAPE)
        places = [1 + part.preparer.names.index(name) for name in names]

        def graph(nodes: Sequence[Node]) -> list[Node]:
            image = decode(nodes[0], dict(zip(names, nodes[1:], strict=True)), kind, load)
            return [dali_fn().crop(image, crop=(1, 1))]

        inputs = [[tensor_list(job.arrays[place][: job.size]) for place in (0, *places)] for job in part.jobs]
        return self._run(part, graph, inputs)

    def _whole_graph(self, part: Part) -> Work:
        preparer, load = part.preparer, self._settings["hw_decoder_load"]

        def graph(nodes: Sequence[Node]) -> Sequence[Node]:
            return define(preparer.layout, nodes[0], preparer.named(nodes[1:]), load)

        return self._run(part, graph, [job.inputs for job in part.jobs])

    def _run(self, part: Part, graph: Graph, inputs: Sequence[Sequence[Any]]) -> Work:
        sizes = [job.size for job in part.jobs]
        return _Running(
            partial(
                Runner,
                graph,
                owner=part,
                inputs=len(inputs[0]),
                batch_size=max(job.rows for job in part.jobs),
                num_threads=self.threads,
                prefetch=self._settings["prefetch"],
                device=self.device,
            ),
            inputs,
            sizes,
            self._settings["prefetch"],
        )


class _Parsing(Work):
    def __init__(self, batches: Sequence[EncodedBatch], oriented: bool) -> None:
        self._batches, self._oriented, self._next = batches, oriented, 0

    def step(self) -> float:
        batch = self._batches[self._next % len(self._batches)]
        self._next += 1
        for data in batch.data:
            inspect(data, orientation=self._oriented)
        return len(batch.data)


class _Preparing(Work):
    def __init__(self, preparer: Preparer, batches: Sequence[EncodedBatch], replace: Any) -> None:
        self._preparer, self._batches, self._replace, self._next = preparer, batches, replace, 0

    def step(self) -> float:
        batch = self._batches[self._next % len(self._batches)]
        self._next += 1
        return self._preparer.prepare(batch, self._replace).size


class _Running(Work):
    """A graph that is kept as busy as the engine's."""

    def __init__(
        self, make: Callable[[], Runner], inputs: Sequence[Sequence[Any]], sizes: Sequence[int], prefetch: int
    ) -> None:
        self._make, self._inputs, self._sizes, self._prefetch = make, inputs, sizes, prefetch
        self._runner: Runner | None = None
        self._submitted = self._collected = 0

    def begin(self) -> None:
        if self._runner is None:
            self._runner = self._make()
        for _ in range(self._prefetch):
            self._submit(self._runner)

    def step(self) -> float:
        if self._runner is None:
            return 0.0
        self._runner.collect()
        synchronize()
        size = self._sizes[self._collected % len(self._sizes)]
        self._collected += 1
        self._submit(self._runner)
        return size

    def end(self) -> None:
        if self._runner is not None:
            self._runner.drain()
            self._collected = self._submitted

    def _submit(self, runner: Runner) -> None:
        runner.submit(self._inputs[self._submitted % len(self._inputs)])
        self._submitted += 1
