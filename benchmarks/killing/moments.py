"""The moment and the victim of a kill: drawn from a seed, so that a run of chaos can be repeated.

In: the number of steps left. Out: the plan of a life. Pure.
"""

import dataclasses
import json
import random
from dataclasses import dataclass

RANKS = (1, 2, 3, 4)
#: Batches that a training may get after the batch of its moment, so that it may die anywhere between them.
AHEAD = 1
#: Kinds of moments, in the order in which they come again and again.
KINDS = ("batch", "written", "cut", "renaming", "batch", "half written", "batch", "start", "written", "batch")
#: The events that a rank counts until the moment of a kind has come.
COUNTED = {
    "start": "start",
    "batch": "batch",
    "cut": "batch",
    "half written": "write",
    "written": "write",
    "renaming": "rename",
}
SAYS = {
    "start": "before its first batch",
    "batch": "after batch {count} of this life",
    "cut": "after batch {count} of this life, and the newest checkpoint cut to {share}%",
    "half written": "with {share}% of a checkpoint written",
    "written": "between a checkpoint's write and its rename",
    "renaming": "between the renames, no checkpoint under the newest name",
}


@dataclass(frozen=True)
class Moment:
    """The moment at which a life ends.

    Attributes:
        kind: One of KINDS.
        count: The number of the batch, checkpoint or rename of this life at which it ends.
        rank: The rank that counts.
        share: The per cent of a checkpoint that remain, where a kind leaves a part of it.
    """

    kind: str
    count: int
    rank: int
    share: int

    @staticmethod
    def parse(text: str) -> "Moment | None":
        """What `written` wrote; "none" is no moment."""
        return None if text == "none" else Moment(**json.loads(text))

    def written(self) -> str:
        """As an argument of a command line."""
        return json.dumps(dataclasses.asdict(self))

    def __str__(self) -> str:
        return SAYS[self.kind].format(count=self.count, share=self.share)


@dataclass(frozen=True)
class Plan:
    """One life of the training.

    Attributes:
        ranks: Its processes.
        remote: Whether it reads from the store.
        moment: When it is killed; None: it lives to its end.
        victim: The rank that is killed; None: everything, torchrun included.
        delay: Seconds between the moment and the kill.
    """

    ranks: int
    remote: bool
    moment: Moment | None
    victim: int | None
    delay: float

    def __str__(self) -> str:
        where = f"{self.ranks} rank{'s' * (self.ranks > 1)} from the {'store' if self.remote else 'disk'}"
        if self.moment is None:
            return f"{where}, to the end"
        return f"{where}, SIGKILL of {'everything' if self.victim is None else f'rank {self.victim}'} {self.moment}"


def draw(rng: random.Random, number: int, kills: int, left: int, *, store: bool) -> Plan:
    """The plan of life `number`, from 0.

    Args:
        rng: Draws its numbers.
        number: The lives before.
        kills: How many lives are to be killed.
        left: Steps that the training has not taken, at least.
        store: Whether there is a store; every second life then reads from it.
    """
    ranks, remote = rng.choice(RANKS), store and number % 2 == 1
    if number >= kills:
        return Plan(ranks, remote, None, None, 0.0)
    kind = KINDS[number % len(KINDS)]
    most = 1
    if COUNTED[kind] == "batch":
        # Each of the lives to come takes some steps, and the last of them has one left.
        spare = left - 1 - (1 + AHEAD) * (kills - number)
        most = max(1, min(2 * left // (kills - number + 1), 1 + spare))
    saves = COUNTED[kind] in ("write", "rename")
    moment = Moment(kind, rng.randint(1, most), 0 if saves else rng.randrange(ranks), rng.randint(1, 99))
    victim = rng.choice((None, rng.randrange(ranks))) if ranks > 1 else None
    return Plan(ranks, remote, moment, victim, rng.random() * 0.3)
