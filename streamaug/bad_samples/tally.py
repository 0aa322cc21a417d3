"""The number of bad samples, and the reasons: the warnings that users see while bad samples are replaced.

In: samples as they are read, and the bad ones with their reasons. Out: a warning at the first bad sample, and when 1%
and 10% of the samples read are bad, with the commonest reason. Without it a run with a wrong label file would train on
the few samples that are left.
"""

import re
import threading
import warnings
from collections import Counter

#: Shares of the samples met at which a warning is due, and the bad samples that a share must rest on.
_SHARES = (0.01, 0.1)
_LEAST = 3
#: Different reasons that are counted; numbers and names in a reason make no difference.
_MOST_REASONS = 1000
_PARTICULARS = re.compile(r"\d+|'[^']*'")


class Tally:
    """Counts of a process; used by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met = self._bad = 0
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._shares = list(_SHARES)

    def meet(self, count: int) -> None:
        """Count samples that were read."""
        with self._lock:
            self._met += count

    def add(self, where: str, reason: str) -> None:
        """Count a bad sample that is replaced, and warn when a warning is due.

        Args:
            where: The sample, to go on after "got".
            reason: Why it is bad.
        """
        with self._lock:
            self._bad += 1
            kind = _PARTICULARS.sub("…", reason)
            if kind in self._reasons or len(self._reasons) < _MOST_REASONS:
                self._reasons[kind] += 1
                self._examples.setdefault(kind, reason)
            is_first = self._bad == 1
        if is_first:
            warnings.warn(
                f"on_bad_sample: each sample should be usable, got {where}: {reason}. Others stand in for it and for "
                "further ones; `streamaug check` lists them all.",
                UserWarning,
                stacklevel=2,
            )

    def judge(self) -> None:
        """Warn when the bad samples have reached a share of the samples read for the first time."""
        with self._lock:
            reached = [share for share in self._shares if self._bad >= max(_LEAST, share * self._met)]
            self._shares = [share for share in self._shares if share not in reached]
            said = self._described() if reached else ""
        for share in reached:
            warnings.warn(
                f"on_bad_sample: fewer than {share:.0%} of the samples should be bad, got {said}. Repair the shards, "
                "which `streamaug check` lists, or bound them by max_bad_samples.",
                UserWarning,
                stacklevel=2,
            )

    def commonest(self) -> str | None:
        """The commonest reason, in the words of one of its samples; None while no sample was bad."""
        with self._lock:
            return self._examples[self._reasons.most_common(1)[0][0]] if self._reasons else None

    def _described(self) -> str:
        kind, count = self._reasons.most_common(1)[0]
        met = max(self._met, self._bad)
        share = f"{self._bad / met:.1%}, {self._bad} of {met} met"
        return f"{share}, most often ({count} of {self._bad}) because {self._examples[kind]}"
