"""Megatron-Energon's data set of encoded images, out of an object store.

In: a URL of the Multi-Storage Client. Out: batches of (image, label), as bytes.
"""

from collections.abc import Iterator
from typing import Any

from megatron.energon import (
    Cooker,
    DefaultTaskEncoder,
    Sample,
    WorkerConfig,
    basic_sample_keys,
    edataclass,
    get_loader,
    get_train_dataset,
    stateless,
)


@edataclass
class Encoded(Sample):
    image: bytes
    label: bytes


@stateless
def cook(row: dict[str, Any]) -> Encoded:
    return Encoded(**basic_sample_keys(row), image=row["jpg"], label=row["cls"])


class Encoder(DefaultTaskEncoder):
    """Decodes nothing."""

    decoder = None
    cookers = (Cooker(cook),)

    @stateless
    def batch(self, rows: list[Encoded]) -> list[tuple[bytes, bytes]]:
        return [(row.image, row.label) for row in rows]


def batches(url: str, batch_size: int, workers: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """One epoch, shuffled."""
    data = get_train_dataset(
        url,
        batch_size=batch_size,
        shuffle_buffer_size=1000,
        max_samples_per_sequence=100,
        repeat=False,
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=workers),
        task_encoder=Encoder(),
    )
    yield from get_loader(data)
