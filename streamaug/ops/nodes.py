"""The nodes of a DALI graph as operations see them, and the only import of DALI in the package.

DALI gives no types and takes 0.9 s to import, so the functions here import it, when a graph is built. DALI's
`_conditional`, which its public names do not offer, is used in this module alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

#: A DALI node. DALI gives no types, and is imported only where a graph is built.
Node = Any


def dali() -> Any:
    """DALI itself, `nvidia.dali`; imported on the first call, so that `import streamaug` stays fast."""
    return import_module("nvidia.dali")


def dali_fn() -> Any:
    """DALI's operators, `nvidia.dali.fn`; imported on the first call."""
    return import_module("nvidia.dali.fn")


def dali_types() -> Any:
    """DALI's types, `nvidia.dali.types`; imported on the first call."""
    return import_module("nvidia.dali.types")


def dali_tensors() -> Any:
    """DALI's tensors, `nvidia.dali.tensors`; imported on the first call."""
    return import_module("nvidia.dali.tensors")


def with_prefix(nodes: Mapping[str, Node], prefix: str) -> dict[str, Node]:
    """The nodes whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): node for name, node in nodes.items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The inputs from which a photometric operation builds its nodes.

    Attributes:
        nodes: The parameters' nodes, one for each entry of `parameters`: per-sample arguments on the CPU, and the
            operation's `inputs` where the image is.
        height: The frame's height in pixels.
        width: Its width.
        device: "cpu" or "gpu", where the image is.
        chosen: Where the operation sees only some samples of the batch, the selections that they passed, outermost
            first.
    """

    nodes: Mapping[str, Node]
    height: int
    width: int
    device: str
    chosen: tuple[Node, ...] = ()

    def __getitem__(self, name: str) -> Node:
        """The node of the parameter `name`."""
        return self.nodes[name]

    def beside(self, name: str) -> Node:
        """The parameter `name` where the image is, for arithmetic with it; name it in `Photometric.inputs`."""
        node = self.nodes[name]
        return node.gpu() if self.device == "gpu" and node.device == "cpu" else node

    def uploaded(self, inputs: Collection[str]) -> "Arguments":
        """The same with the parameters `inputs` where the image is.

        On a GPU they go there whole, before any selection, in one copy: the parts of a selection are copied sample by
        sample, and DALI's host waits for them.

        Args:
            inputs: Names, without the number of a step and the dot before them.
        """
        if self.device == "cpu":
            return self
        placed = {name: self.beside(name) for name in self.nodes if name.rpartition(".")[2] in inputs}
        return replace(self, nodes={**self.nodes, **placed})

    def constant(self, numbers: Sequence[int], shape: Sequence[int], dtype: Any, layout: str = "") -> Node:
        """The same integers for every sample that the operation sees, on the image's device.

        Args:
            numbers: As many as `shape` has elements, or one for all.
            shape: The node's shape.
            dtype: A type of DALI's.
            layout: The axes' letters.
        """
        layouts = {"layout": layout} if layout else {}
        node = self.fn.constant(idata=list(numbers), shape=list(shape), dtype=dtype, device=self.device, **layouts)
        for selected in self.chosen:
            node, _ = _split(node, selected)
        return node

    @property
    def fn(self) -> Any:
        """DALI's operators, `nvidia.dali.fn`."""
        return dali_fn()

    @property
    def types(self) -> Any:
        """DALI's types, `nvidia.dali.types`."""
        return dali_types()

    def where(self, selected: Node, image: Node, build: Callable[[Node, "Arguments"], Node]) -> Node:
        """`build(image, arguments)` for the samples with `selected`, the unchanged image for the others.

        Args:
            selected: A bool per sample, on the CPU.
            image: The image node.
            build: Adds nodes; gets the image and the arguments of the selected samples only.
        """
        names = list(self.nodes)

        def then(image: Node, *nodes: Node) -> Node:
            chosen = dict(zip(names, nodes, strict=True))
            return build(image, Arguments(chosen, self.height, self.width, self.device, (*self.chosen, selected)))

        return where(selected, [image, *self.nodes.values()], then)


def where(
    selected: Node,
    inputs: Sequence[Node],
    then: Callable[..., Node],
    otherwise: Callable[..., Node] = lambda *nodes: nodes[0],
) -> Node:
    """`then(*inputs)` for the samples with `selected`, `otherwise(*inputs)` for the others, put together again.

    Args:
        selected: A bool per sample, on the CPU.
        inputs: Nodes; each branch sees only its own samples of them.
        then: Adds nodes; runs on the selected samples alone, so that the others cost nothing.
        otherwise: The same for the others; by default it returns the first input.
    """
    on, off = zip(*(_split(node, selected) for node in inputs), strict=True)
    return dali_fn()._conditional.merge(then(*on), otherwise(*off), predicate=selected)


def chosen(selected: Node, inputs: Sequence[Node]) -> list[Node]:
    """Of each node, the samples with `selected`, a bool per sample on the CPU."""
    return [_split(node, selected)[0] for node in inputs]


def joined(parts: Sequence[Node], places: Sequence[Node]) -> Node:
    """The samples of several nodes in one batch.

    Args:
        parts: Nodes, each of some samples.
        places: For each part but the last, on the CPU, a bool per sample of the batch: whether it is the part's.
    """
    first, *others = parts
    if not others:
        return first
    here, *later = places
    rest = joined(others, [_split(place, here)[1] for place in later])
    return dali_fn()._conditional.merge(first, rest, predicate=here)


def _split(node: Node, selected: Node) -> tuple[Node, Node]:
    """The node's samples with `selected`, and the others: DALI's `if`, without rewriting the caller's source."""
    on, off = dali_fn()._conditional.split(node, predicate=selected, _if_stmt=True)
    return on, off
