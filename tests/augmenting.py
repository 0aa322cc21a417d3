"""Runs recipes on images in memory, and looks into the graphs that they make."""

import io
from importlib import import_module

import numpy as np
import torch
from PIL import Image

from streamaug.batch import EncodedBatch, Origin
from streamaug.dali.engine import AugmentEngine
from streamaug.dali.feed import Preparer
from streamaug.dali.graph import define
from streamaug.dali.layout import Layout
from streamaug.ops.output import Output
from streamaug.recipe import Recipe


def png(image: np.ndarray) -> bytes:
    """A uint8 (H, W, 3) or (H, W) array, losslessly encoded."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


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


def augmented(recipe, data, *, batch_size=16, num_threads=2, prefetch=2, epoch=0, seed=5, device="cpu"):
    """All images (N, C, H, W) of a recipe without views."""
    engine = AugmentEngine(recipe, device=device, num_threads=num_threads, prefetch=prefetch)
    batches = encoded_batches(data, batch_size, epoch=epoch, seed=seed)
    return torch.cat([batch.images for batch in engine.run(batches, refuse)])[: len(data)]


def frames(operations, images, **options):
    """uint8 (N, H, W, 3) of operations that keep the size of equally large images, on the images themselves."""
    from streamaug import ops

    recipe = Recipe([ops.Resize(images[0].shape[:2]), *operations], output=Output(dtype="uint8"))
    return augmented(recipe, [png(image) for image in images], **options).permute(0, 2, 3, 1).numpy()


def operators(recipe, device):
    """(schema, device) of every operator of a recipe's graph, traced without any device."""
    preparer = Preparer(Layout(recipe))
    dali = import_module("nvidia.dali")
    pipeline = dali.Pipeline(batch_size=2, num_threads=1, device_id=None, exec_dynamic=True)
    with pipeline:
        nodes = dali.fn.external_source(source=lambda: (), num_outputs=len(preparer.names) + 1, batch=True)
        pipeline.set_outputs(*define(preparer.layout, nodes[0], preparer.named(nodes[1:]), device))
    found = []
    for field, definition in _protobuf(pipeline.serialize()):
        if field == 5:  # PipelineDef.op
            parts = list(_protobuf(definition))
            name = next(value.decode() for number, value in parts if number == 1)
            arguments = [dict(_protobuf(value)) for number, value in parts if number == 4]
            where = next((a for a in arguments if a.get(1) == b"device"), {})
            placed = next((v.decode() for v in where.values() if v in (b"cpu", b"gpu", b"mixed")), "cpu")
            found.append((name, placed))
    return found


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
