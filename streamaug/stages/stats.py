"""`Stats`: the work and the waiting of the stages of a chain since the pass began, and the stage that is late.

In: the meters of a pass. Out: frozen numbers, also flat, by name, for any logger. A rate of all ranks is the rank's own
times the number of ranks, since ranks take their steps together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamaug.reader.metering import Meter
from streamaug.reader.state import EpochPass

if TYPE_CHECKING:
    from streamaug.stages.base import Stage

#: Counters of fill levels, which do not add up.
_LEVELS = ("queue_depth", "prefetch_fill")
#: The name of the late part where the loop takes longer than each stage.
LOOP = "loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStats:
    """The work of one stage since the pass began.

    Attributes:
        name: The stage's class; with "_2", "_3", … behind it where the chain has several of it.
        batches: Batches that it delivered; a stage that runs ahead has delivered more.
        images: Rows in them, padding and stand-ins included.
        wait_seconds: Seconds for which it waited: a reader for storage, any other stage for the stage before it.
        work_seconds: Seconds of its own. An `Augmenter`'s include the time for which it waits for DALI.
        delay_seconds: Seconds by which it held up the stage behind it: all of a reader's time, another stage's work.
        counts: Further counters, see `docs/monitoring.md`: of a `ShardReader` bytes, requests, retries, hedges,
            cache_hits, cache_misses, bad_samples, replaced_rows, queue_depth, prefetch_fill; of an `Augmenter`
            pipeline_seconds, build_seconds, pipelines, queue_depth, prefetch_fill.
    """

    name: str
    batches: int = 0
    images: int = 0
    wait_seconds: float = 0.0
    work_seconds: float = 0.0
    delay_seconds: float = 0.0
    counts: Mapping[str, float] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """What it spends its own time on, in words."""
        counts, half = self.counts, self.delay_seconds / 2
        if "bytes" in counts:
            return "waits for storage" if self.work_seconds < half else "puts batches together"
        if "pipeline_seconds" not in counts:
            return "runs its own code"
        if counts["build_seconds"] > half:
            return "builds its pipeline"
        return "waits for DALI" if counts["pipeline_seconds"] > half else "prepares batches"

    def as_dict(self) -> dict[str, float]:
        """The numbers by name."""
        own = ("batches", "images", "wait_seconds", "work_seconds", "delay_seconds")
        return {name: getattr(self, name) for name in own} | dict(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The work of a chain since the pass began, up to the batch delivered last; made by `Stage.stats()`.

    Attributes:
        epoch: The epoch of the pass.
        step: Steps of the epoch that are done, over all ranks together.
        steps: Steps of the epoch.
        batches: Batches delivered.
        images: Rows in them, of this rank, padding and stand-ins included.
        seconds: Seconds since the pass began.
        wait_seconds: Seconds of these for which the loop waited for batches.
        world_size: Ranks.
        stages: Each stage, from the reader on.
        pass_number: The number of the pass in this process; 0 before the first.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    batches: int = 0
    images: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    world_size: int = 1
    stages: tuple[StageStats, ...] = ()
    pass_number: int = 0

    @property
    def loop_seconds(self) -> float:
        """Seconds that the loop itself took: the model, most likely."""
        return max(0.0, self.seconds - self.wait_seconds)

    @property
    def wait_share(self) -> float:
        """The share of the time for which the loop waited for batches, 0..1."""
        return self.wait_seconds / self.seconds if self.seconds else 0.0

    @property
    def images_per_second(self) -> float:
        """Images a second of all ranks together."""
        return self.images * self.world_size / self.seconds if self.seconds else 0.0

    @property
    def late(self) -> str:
        """The part that takes most of the time: the name of a stage, or "loop"; "" before the first batch."""
        if not self.seconds:
            return ""
        delays = {LOOP: self.loop_seconds} | {stage.name: stage.delay_seconds for stage in self.stages}
        return max(delays, key=lambda name: delays[name])

    @property
    def why(self) -> str:
        """What the late stage spends its time on, in words."""
        return next((stage.why for stage in self.stages if stage.name == self.late), "")

    def as_dict(self) -> dict[str, float]:
        """All numbers by name, those of a stage as "Stage/name"; the names of a chain are always the same."""
        names = ("epoch", "step", "batches", "images", "seconds", "wait_seconds", "loop_seconds", "wait_share")
        own = {name: getattr(self, name) for name in (*names, "images_per_second")}
        of_stages = {f"{stage.name}/{name}": value for stage in self.stages for name, value in stage.as_dict().items()}
        return own | of_stages

    def since(self, earlier: "Stats") -> "Stats":
        """The difference to earlier numbers of the same pass; all numbers if those are of another."""
        if earlier.pass_number != self.pass_number:
            return self
        before = {stage.name: stage for stage in earlier.stages}
        return Stats(
            epoch=self.epoch,
            step=self.step,
            steps=self.steps,
            batches=self.batches - earlier.batches,
            images=self.images - earlier.images,
            seconds=self.seconds - earlier.seconds,
            wait_seconds=self.wait_seconds - earlier.wait_seconds,
            world_size=self.world_size,
            stages=tuple(_since(stage, before.get(stage.name)) for stage in self.stages),
            pass_number=self.pass_number,
        )


def _since(now: StageStats, before: StageStats | None) -> StageStats:
    if before is None:
        return now
    counts = {
        name: value if name in _LEVELS else value - before.counts.get(name, 0) for name, value in now.counts.items()
    }
    return StageStats(
        name=now.name,
        batches=now.batches - before.batches,
        images=now.images - before.images,
        wait_seconds=now.wait_seconds - before.wait_seconds,
        work_seconds=now.work_seconds - before.work_seconds,
        delay_seconds=now.delay_seconds - before.delay_seconds,
        counts=counts,
    )


def stats_of(stage: "Stage", epoch_pass: EpochPass | None, *, batch_size: int, world_size: int) -> Stats:
    """The numbers of a stage and of those before it in a pass.

    Args:
        stage: The stage.
        epoch_pass: The pass; None before the first.
        batch_size: Rows of a batch.
        world_size: Ranks.
    """
    stages = tuple(_of_stages(stage, epoch_pass, batch_size))
    if epoch_pass is None:
        return Stats(stages=stages)
    meter, before = epoch_pass.meter, epoch_pass.start // epoch_pass.global_batch
    return Stats(
        epoch=epoch_pass.epoch,
        step=before + epoch_pass.delivered,
        steps=before + epoch_pass.num_batches,
        batches=epoch_pass.delivered,
        images=epoch_pass.delivered * batch_size,
        seconds=(meter.last_ns - meter.begun_ns) / 1e9,
        wait_seconds=meter.waited_ns / 1e9,
        world_size=world_size,
        stages=stages,
        pass_number=meter.number,
    )


def _of_stages(stage: "Stage", epoch_pass: EpochPass | None, batch_size: int) -> Iterator[StageStats]:
    chain: list[Stage] = []
    link: Stage | None = stage
    while link is not None:
        chain.append(link)
        link = link.__dict__.get("_source")
    seen: Counter[str] = Counter()
    for each in reversed(chain):
        meter = None if epoch_pass is None else epoch_pass.meter.of(each)
        meter = Meter(each) if meter is None else meter
        seen[meter.name] += 1
        name = meter.name if seen[meter.name] == 1 else f"{meter.name}_{seen[meter.name]}"
        yield _of_stage(name, meter, batch_size)


def _of_stage(name: str, meter: Meter, batch_size: int) -> StageStats:
    own, inner, counts = (meter.total_ns - meter.inner_ns) / 1e9, meter.inner_ns / 1e9, meter.counts
    outside = 0.0 if counts is None else min(own, counts.waited())
    return StageStats(
        name=name,
        batches=meter.batches,
        images=meter.batches * batch_size,
        wait_seconds=inner + outside,
        work_seconds=own - outside,
        delay_seconds=own,
        counts={} if counts is None else counts.as_dict(),
    )
