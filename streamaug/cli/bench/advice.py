"""The advice on a verdict: sentences that each name a change and, where it was measured, its gain.

Pure: a roofline and facts of the dataset in, sentences out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamaug.cli.bench.graphs import DECODE
from streamaug.cli.bench.roofline import AHEAD, CORES, GPU, MODEL, PYTHON, STORAGE, THREADS, Roofline

#: A chain that reaches a smaller share of its bound than this has another cause too.
NEAR = 0.8
#: Above this share of its bound a chain was measured in other conditions than its parts.
_ABOVE = 1.2
#: Images whose shorter side is this many times the recipe's size should be reduced once.
_LARGE = 2.0
#: The advised `make-shards --max-side`, as a multiple of the recipe's size: 512 pixels for 224.
_KEPT = 16 / 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts for advice besides speeds.

    Attributes:
        is_local: Whether the shards are files.
        has_cache: Whether a disk cache keeps remote shards.
        concurrency: Requests in flight at most.
        num_bytes: Bytes of the shards.
        available_memory: Bytes that the page cache can take; None: unknown.
        window_fits: Whether the reader's window fits its memory limit.
        on_gpu: Whether a GPU decodes.
        short_side: Median pixels of the images' shorter side; 0 without images.
        size: Pixels of the recipe's larger side; 0 without a recipe.
        without_antialias_ms: Core-milliseconds an image that `antialias=False` saves; None: it changes nothing.
        border_share: Share of the time at the ends of epochs.
        epoch_batches: Batches of an epoch.
        busy: Whether others used the machine.
        cores_left: The number of cores that they left while the chain ran, about.
        own_functions: Names of rows that run the user's functions.
    """

    is_local: bool
    has_cache: bool
    concurrency: int
    num_bytes: int
    available_memory: int | None
    window_fits: bool
    on_gpu: bool
    short_side: float
    size: int
    without_antialias_ms: float | None
    border_share: float
    epoch_batches: int
    busy: bool
    cores_left: float
    own_functions: Sequence[str] = ()


def advice(roof: Roofline, facts: Facts) -> list[str]:
    """Sentences, the most useful first."""
    bound = roof.loader_bound.name
    sentences = []
    if roof.bound.name == MODEL:
        sentences.append("Nothing in the loader: the model is slower. A larger model or more augmentation is free.")
    else:
        made = {STORAGE: _storage, CORES: _cores, GPU: _gpu, THREADS: _threads, PYTHON: _serial, AHEAD: _serial}
        sentences += made.get(bound, _copy)(roof, facts)
    return [*sentences, *_besides(roof, facts)]


def _storage(roof: Roofline, facts: Facts) -> Iterator[str]:
    del roof
    if facts.is_local:
        yield "Put the shards on a faster disk, or on several."
    elif not facts.has_cache:
        yield 'Keep what was read on this node: StorageOptions(cache_dir="…"), from the second epoch on.'
        yield f"Ask for more at a time: StorageOptions(concurrency={4 * facts.concurrency})."
    else:
        yield f"Ask for more at a time: StorageOptions(concurrency={4 * facts.concurrency})."
    yield from _smaller(facts)


def _cores(roof: Roofline, facts: Facts) -> Iterator[str]:
    measured = roof.measured
    saved = facts.without_antialias_ms
    if saved is not None and saved > 0.05 * measured.chain_core_ms.median:
        left = measured.cores * 1e3 / roof.loader_bound.images_per_second - saved
        yield (
            f"antialias=False in the recipe saves {saved:.2f} core-ms an image: at most "
            f"{measured.cores * 1e3 / left:,.0f} images/s. Pixels differ, see docs/pixels.md."
        )
    yield from _smaller(facts)
    if roof.loader_bound.largest == DECODE and not facts.on_gpu:
        yield 'Decode on a GPU: augment(device="gpu"); there hw_decoder_load is another lever. Unmeasured here.'
    yield "More cores: the cores' limit grows with them."


def _gpu(roof: Roofline, facts: Facts) -> Iterator[str]:
    del roof
    yield "augment(hw_decoder_load=0.5) lets the GPU's own decoder take JPEGs; pixels then depend on the batch."
    yield from _smaller(facts)


def _threads(roof: Roofline, facts: Facts) -> Iterator[str]:
    del facts
    measured = roof.measured
    usual = int(measured.cores) + 1
    yield (
        f"Give DALI more threads: augment(num_threads={usual}), or leave num_threads out. It has "
        f"{measured.graph_threads}, and {measured.cores:g} cores are there."
    )


def _serial(roof: Roofline, facts: Facts) -> Iterator[str]:
    largest = roof.loader_bound.largest
    if largest in facts.own_functions:
        yield f"Make {largest} faster: it runs in one thread. Work on the whole batch at once, in numpy or torch."
        yield "Or run a process for each part of the cores, as ranks do."
    else:
        yield "Larger batches cost less Python an image."


def _copy(roof: Roofline, facts: Facts) -> Iterator[str]:
    del roof, facts
    yield 'Copy less: dtype="uint8" or "float16" in the recipe, or decode on the GPU itself: augment(device="gpu").'


def _smaller(facts: Facts) -> Iterator[str]:
    if facts.size and facts.short_side >= _LARGE * facts.size:
        yield (
            f"Make the images smaller once: streamaug make-shards --max-side {round(_KEPT * facts.size)}; half of them "
            f"have {facts.short_side:.0f} pixels or more on the shorter side, and the recipe makes {facts.size} of it."
        )


def _besides(roof: Roofline, facts: Facts) -> Iterator[str]:
    """Other causes that take time, or will."""
    if facts.border_share > 0.03:
        yield (
            f"The borders of epochs take {facts.border_share:.0%} of the time: an epoch has {facts.epoch_batches} "
            "batches here. Longer epochs feel it less."
        )
    if not facts.window_fits:
        yield "More memory: the reader's window does not fit StorageOptions.memory_limit. Raise it."
    memory = facts.available_memory
    if facts.is_local and memory is not None and facts.num_bytes > memory:
        yield (
            f"More memory: the shards' {facts.num_bytes / 1e9:,.0f} GB do not fit the {memory / 1e9:,.0f} GB that the "
            "page cache can have, so every epoch reads the disk."
        )
    if roof.reached > _ABOVE:
        why = (
            "batches that were read ahead"
            if roof.loader_bound.name == STORAGE
            else "a machine less busy than its parts'"
        )
        yield (
            f"The chain gives {roof.reached:.1f} times its bound: its runs had {why}. --seconds and --warm-up make the "
            "measurement longer."
        )
    if roof.reached < NEAR:
        cause = "No single limit explains it. --seconds and --warm-up make the measurement longer."
        if facts.busy:
            left = facts.cores_left / roof.measured.cores
            cause = (
                f"The machine was busy: others left {facts.cores_left:.2f} of {roof.measured.cores:g} cores, where the "
                f"cores' limit is some {left * _limit_of_cores(roof):,.0f} images/s. Measure again when it is quiet."
            )
        yield f"The chain reaches {roof.reached:.0%} of its bound. {cause}"


def _limit_of_cores(roof: Roofline) -> float:
    return next(limit.images_per_second for limit in roof.limits if limit.name == CORES)
