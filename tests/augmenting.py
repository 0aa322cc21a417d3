"""Runs recipes on images in memory, and looks into the graphs that they make."""

import dataclasses
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from pictures import encoded, without_tables

from streamaug.batch import EncodedBatch, Origin
from streamaug.dali.engine import AugmentEngine
from streamaug.dali.graph import define
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Preparer
from streamaug.dali.runner import Runner
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe


def png(image: np.ndarray) -> bytes:
    """A uint8 (H, W, 3) or (H, W) array, losslessly encoded."""
    return encoded(image, "PNG")


def encoded_batches(data, batch_size, *, labels=None, epoch=0, seed=5):
    """Batches of a list of encoded images, in order; the last is filled up from the front."""
    for step in range(-(-len(data) // batch_size)):
        ids = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64)
        rows = [int(i) % len(data) for i in ids]
        none = np.zeros(batch_size, bool)
        origin = Origin(seed, epoch, step, 1, ids, ids % len(data), tuple(map(str, rows)), none, none.copy())
        extras = {} if labels is None else {"cls": [labels[row] for row in rows]}
        yield EncodedBatch([data[row] for row in rows], extras, origin)


def refuse(batch, problems):
    """A `Replace` for a reader whose bad samples are errors."""
    row, problem = next(iter(problems.items()))
    raise problem.error(f"{batch.origin.keys[row]}: {problem.reason}")


def stand_in(good):
    """A `Replace` that puts a good image in the place of bad ones, and counts."""
    asked = []

    def replace(batch, problems):
        data, attempts = list(batch.data), np.zeros(len(batch.data), np.int64)
        if batch.attempts is not None:
            attempts = batch.attempts.copy()
        for row, problem in problems.items():
            asked.append((batch.origin.step, row, problem.reason))
            data[row] = good
            attempts[row] += 1
        return dataclasses.replace(batch, data=data, attempts=attempts)

    return replace, asked


def rejected_by_dali_alone():
    """A JPEG whose headers and end are whole, and whose Huffman tables are not."""
    return without_tables(encoded(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)))


def augmented(recipe, data, *, batch_size=16, num_threads=2, prefetch=2, epoch=0, seed=5, device="cpu"):
    """All images (N, C, H, W) of a recipe; with V views (V·N, C, H, W), view-major."""
    engine = AugmentEngine(recipe, device=device, num_threads=num_threads, prefetch=prefetch)
    batches = encoded_batches(data, batch_size, epoch=epoch, seed=seed)
    done = list(engine.run(batches, refuse))
    if done[0].views == 1:
        return torch.cat([batch.images for batch in done])[: len(data)]
    views = [batch.images.unflatten(0, (batch.views, -1)) for batch in done]
    return torch.cat(views, dim=1)[:, : len(data)].flatten(0, 1)


def frames(operations, images, **options):
    """uint8 (N, H, W, 3) of operations that keep the size of equally large images, on the images themselves."""
    from streamaug import ops

    recipe = Recipe([ops.Resize(images[0].shape[:2]), *operations], output=Output(dtype="uint8"))
    return augmented(recipe, [png(image) for image in images], **options).permute(0, 2, 3, 1).numpy()


class Traced(NamedTuple):
    """An operator of a graph: its schema, where it runs, what it computes with and which arguments are nodes."""

    schema: str
    device: str
    inputs: tuple[str, ...]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, bytes | int]


def traced(recipe, device, **options):
    """Every operator of a recipe's graph, traced without any device."""
    preparer = Preparer(Layout(recipe, device))
    dali = import_module("nvidia.dali")
    pipeline = dali.Pipeline(batch_size=2, num_threads=1, device_id=None, exec_dynamic=True)
    with pipeline:
        nodes = dali.fn.external_source(source=lambda: (), num_outputs=len(preparer.names) + 1, batch=True)
        pipeline.set_outputs(*define(preparer.layout, nodes[0], preparer.named(nodes[1:]), **options))
    return [_operator(message) for field, message in _protobuf(pipeline.serialize()) if field == 5]  # PipelineDef.op


def operators(recipe, device):
    """(schema, device) of every operator of a recipe's graph."""
    return [(each.schema, each.device) for each in traced(recipe, device)]


def _operator(message):
    """An OpDef: 1 is its schema, 2 are its inputs, 3 its outputs, 4 its arguments, whose 3 to 6 are values."""
    parts = list(_protobuf(message))
    (schema,) = (value.decode() for number, value in parts if number == 1)
    arguments = [dict(_protobuf(value)) for number, value in parts if number == 4]
    where = next((a for a in arguments if a.get(1) == b"device"), {})
    placed = next((v.decode() for v in where.values() if v in (b"cpu", b"gpu", b"mixed")), "cpu")
    read = [dict(_protobuf(value)) for number, value in parts if number == 2]  # 1 name, 2 device, 3 is an argument
    names = [(f"{each[1].decode()} {each[2].decode()}", bool(each.get(3))) for each in read]
    wrote = [dict(_protobuf(value)) for number, value in parts if number == 3]
    return Traced(
        schema,
        placed,
        tuple(name for name, is_argument in names if not is_argument),
        tuple(name for name, is_argument in names if is_argument),
        tuple(f"{each[1].decode()} {each[2].decode()}" for each in wrote),
        {a[1].decode(): next((a[kind] for kind in (3, 4, 5, 6) if kind in a), 0) for a in arguments},
    )


def _on_cpu(operator, *inputs, **named):
    return operator(*inputs, **named | {"device": "cpu"})


class SimulatedGpu(Runner):
    """A runner that was told a GPU: it runs the GPU's graph, with all operators on the CPU."""

    def __init__(self, define, *, device, **options):
        fn, data_node = import_module("nvidia.dali.fn"), import_module("nvidia.dali.data_node")
        placed = ((fn.decoders, "image", fn.decoders.image), (fn, "constant", fn.constant))

        def on_cpu(nodes):
            with ExitStack() as patches:
                patches.enter_context(patch.object(data_node.DataNode, "gpu", lambda node: node))
                for module, name, operator in placed:
                    patches.enter_context(patch.object(module, name, partial(_on_cpu, operator)))
                return define(nodes)

        super().__init__(on_cpu, device=None, **options)
        self.device = device

    def collect(self):
        device, self.device = self.device, None  # torch has no stream of a GPU here
        try:
            return super().collect()
        finally:
            self.device = device


@contextmanager
def simulated_gpu(index=0, runner=SimulatedGpu):
    """Engines made within run the GPU's graph on the CPU, as if torch had a GPU of this index."""
    engine, flight = (import_module(f"streamaug.dali.{name}") for name in ("engine", "flight"))
    with (
        patch.object(engine, "resolve_device", lambda name, warn: None if name == "cpu" else index),
        patch.object(flight, "Runner", runner),
    ):
        yield


def _protobuf(message):
    """(field number, value) of a serialised message, one level deep."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        length = {1: 8, 5: 4}.get(kind) or varint()
        yield key >> 3, bytes(message[at : at + length])
        at += length
