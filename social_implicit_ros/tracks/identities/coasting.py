"""Coasting: decides how long a track is predicted while its tracker does not report it.

Trackers miss people for a moment; such tracks coast, that is, they are extrapolated. Coasting for
too long predicts people who are gone. The typical gaps of a tracker are learned from its tracks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import compress
from statistics import median_low

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray

#: Number of recent gaps that are learned from.
_N_RECENT = 64
#: A track is missed if it was not reported for this share of its period.
_MISSED_SHARE = 0.95
#: Prior: gap after which half of the tracks come back, in periods and at least in seconds. Measured
#: with a LiDAR detector at 10 Hz, and with 20 % of misses at 2.5 Hz.
_PRIOR_PERIODS, _PRIOR_S = 2.5, 0.3
#: Weight of the prior, as a number of tracks.
_PRIOR_WEIGHT = 4.0
#: Gap up to which a track is always predicted, seconds: people are often occluded for a moment, and
#: planners must not lose them.
_MIN_COAST_S = 0.5
#: Number of timeouts after which a missed track counts as not returned.
_FOLLOWED_TIMEOUTS = 2.0
#: Minimum number of returns for a median gap.
_MIN_RETURNS = 4
#: Gaps count as equally long from this ratio on, as periods vary.
_SAME_SHARE = 0.9


class Coasting:
    """Follows the gaps in one tracker's tracks."""

    def __init__(self) -> None:
        #: Missed tracks that are not predicted, as they are probably gone.
        self.vanished: frozenset[str] = frozenset()
        self._seen_ns: dict[str, int] = {}  # newest observation, by id
        self._missed: set[str] = set()
        self._newest_ns: int | None = None
        self._before_ns = 0  # newest stamp before that one
        self._gaps_ns: deque[float] = deque(maxlen=_N_RECENT)  # infinite if not returned

    def observe(
        self,
        ids: tuple[str, ...],
        stamp_ns: int,
        *,
        period_ns: int,
        timeout_s: float,
        min_probability: float,
    ) -> None:
        """Adds a message of the tracker.

        Args:
            ids: ids in the history.
            stamp_ns: integer nanoseconds. Some trackers send one message per person with equal
                stamps. Late messages extend the presence of their tracks.
            period_ns: median time between two reports of a person, integer nanoseconds; 0 if
                unknown.
            timeout_s: time after which missed tracks are forgotten, seconds.
            min_probability: minimum probability of a return with which a track coasts on.
        """
        known_ns, missed, back = self._seen_ns, self._missed, []
        self._period_ns = period_ns
        if self._newest_ns is None or stamp_ns > self._newest_ns:
            self._before_ns, self._newest_ns = self._newest_ns or stamp_ns, stamp_ns
            back = [i for i in ids if i in missed]  # in order, so that results are repeatable
            self._missed = known_ns.keys() - set(ids)
        elif stamp_ns == self._newest_ns:
            back = [i for i in ids if i in missed]
            missed.difference_update(back)
        else:
            ids = tuple(i for i in ids if known_ns.get(i, 0) < stamp_ns)
        for agent_id in back:
            self._end_gap(self._before_ns - known_ns[agent_id])
        known_ns.update(dict.fromkeys(ids, stamp_ns))
        stamp_ns = self._newest_ns
        # Some tracks come back only after the history has forgotten them.
        limit_ns = _FOLLOWED_TIMEOUTS * timeout_s * NS_PER_S
        gone = [i for i in self._missed if stamp_ns - self._seen_ns[i] > limit_ns]
        for _ in gone:
            self._end_gap(np.inf)
        self._forget(gone)
        self.vanished = frozenset(self._vanished(stamp_ns, min_probability))

    def forget_others(self, ids: Iterable[str]) -> None:
        """Forgets all tracks except those with these ids."""
        self._forget(list(self._seen_ns.keys() - set(ids)))

    def _forget(self, ids: list[str]) -> None:
        self._missed.difference_update(ids)
        for agent_id in ids:
            del self._seen_ns[agent_id]

    def __len__(self) -> int:
        """Number of followed tracks."""
        return len(self._seen_ns)

    def _end_gap(self, gap_ns: float) -> None:
        if gap_ns >= _MISSED_SHARE * self._period_ns:
            self._gaps_ns.append(gap_ns)

    @property
    def usual_gap_s(self) -> float:
        """Median gap of tracks that come back, seconds; 0 if most do not, or if unknown."""
        gaps_ns = [int(gap_ns) for gap_ns in self._gaps_ns if gap_ns < np.inf]
        is_known = len(gaps_ns) >= max(_MIN_RETURNS, len(self._gaps_ns) // 2)
        return median_low(gaps_ns) / NS_PER_S if is_known else 0.0

    def _vanished(self, stamp_ns: int, min_probability: float) -> Iterable[str]:
        if not self._missed or not self._period_ns:
            return ()
        missed = tuple(self._missed)
        seen_ns = np.array([self._seen_ns[agent_id] for agent_id in missed])
        gaps_ns = stamp_ns - seen_ns
        is_vanished = self._return_probabilities(gaps_ns) < min_probability
        is_vanished &= gaps_ns >= max(_MISSED_SHARE * self._period_ns, _MIN_COAST_S * NS_PER_S)
        return compress(missed, is_vanished.tolist())

    def _return_probabilities(self, gaps_ns: IntArray) -> FloatArray:
        """(M,) probabilities that tracks come back after they have been missed for (M,) gaps."""
        half_ns = max(_PRIOR_PERIODS * self._period_ns, _PRIOR_S * NS_PER_S)
        prior = 1.0 / (1.0 + np.square(gaps_ns / half_ns))
        known_ns = np.array(self._gaps_ns)
        n_as_long = (known_ns >= _SAME_SHARE * gaps_ns[:, None]).sum(axis=1)
        n_returned = n_as_long - np.isinf(known_ns).sum()
        probabilities: FloatArray = (n_returned + _PRIOR_WEIGHT * prior) / (
            n_as_long + _PRIOR_WEIGHT
        )
        return probabilities
