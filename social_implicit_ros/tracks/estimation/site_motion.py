"""How people move at this site: a prior for velocities that a track does not tell well.

A track that was seen twice within 0.1 s says hardly how fast somebody walks, but people here have
directions and a pace. The velocities of established tracks are remembered. They are, with the prior
of any site, a Gaussian mixture: an empirical prior.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from social_implicit_ros.tracks.messages.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, ObservationWindow

#: People who are remembered; those seen last replace others.
_CAPACITY = 128
#: Time after which velocities are learned again, nanoseconds.
_PERIOD_NS = NS_PER_S
#: Tracks that were seen at so many steps and whose velocity is known so well are established.
_ESTABLISHED_STEPS, _ESTABLISHED_STD_M_S = 4, 0.2
#: Tracks that move less are pillars: they say nothing about people, metres.
_STILL_M = 1e-3
#: People as which the prior of any site counts: of those who walk, and of all for the probability
#: that somebody stands. With less, new tracks unlike those before are not covered.
_PRIOR_WEIGHT, _STANDING_WEIGHT = 5.0, 30.0
#: Who is slower stands, metres per second.
_STANDS_M_S = 0.3
#: Probability that somebody stands, at any site.
STANDING = 0.45
#: Standard deviation of each component of a velocity about a remembered one, metres per second.
_SPREAD_M_S = 0.2


class SiteMotion:
    """Remembers how people moved, each once.

    Attributes:
        standing: probability that somebody stands.
    """

    def __init__(self) -> None:
        self._learned_ns = 0
        self._velocity_m_s: dict[str, FloatArray] = {}  # of each track, the newest last
        self._summarise()

    def __len__(self) -> int:
        """Number of remembered people."""
        return len(self._velocity_m_s)

    def learn(self, window: ObservationWindow, frozen: Collection[str] = ()) -> None:
        """Remembers the established tracks of a window with estimated states, once a second.

        Args:
            window: of a tick.
            frozen: ids of tracks that say nothing about people.
        """
        if abs(window.stamp_ns - self._learned_ns) < _PERIOD_NS or window.state_covariances is None:
            return
        self._learned_ns = window.stamp_ns
        known = window.n_observed >= _ESTABLISHED_STEPS
        known &= window.state_covariances[:, 2, 2] <= _ESTABLISHED_STD_M_S**2
        moved_m = window.positions_m[:, -_ESTABLISHED_STEPS:-1] - window.positions_m[:, -1:]
        known &= (np.abs(moved_m) > _STILL_M).any(axis=(1, 2))
        velocities_m_s = (window.positions_m[:, -1] - window.positions_m[:, -2]) / window.step_s
        for row in np.flatnonzero(known).tolist():
            agent_id = window.ids[row]
            if agent_id != ROBOT_ID and agent_id not in frozen:
                self._velocity_m_s.pop(agent_id, None)
                self._velocity_m_s[agent_id] = velocities_m_s[row]
        for agent_id in list(self._velocity_m_s)[:-_CAPACITY]:
            del self._velocity_m_s[agent_id]
        self._summarise()

    def _summarise(self) -> None:
        velocities_m_s = np.array([*self._velocity_m_s.values()]).reshape(-1, 2)
        walking = velocities_m_s[np.hypot(*velocities_m_s.T) > _STANDS_M_S]
        n_people, n_standing = len(velocities_m_s), len(velocities_m_s) - len(walking)
        self.standing = (_STANDING_WEIGHT * STANDING + n_standing) / (_STANDING_WEIGHT + n_people)
        self._walking, self._squares = walking, (walking * walking).sum(axis=1)
        self._weight = 1.0 / (_PRIOR_WEIGHT + len(walking))  # of each, of somebody who walks
        products = walking[:, :, None] * walking[:, None]
        self._moments = np.concatenate([walking, products.reshape(-1, 4)], axis=1)

    def posterior(
        self, means_m_s: FloatArray, variances: FloatArray, prior_variance: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Velocities of walking people, estimated with this prior instead of that of any site.

        Args:
            means_m_s: (A, W, 2) estimates of W hypotheses with the prior of any site, m/s.
            variances: (A, W), or (1, W) for all, of each component of these, m^2/s^2.
            prior_variance: of each component of the prior of any site, about zero, m^2/s^2.

        Returns:
            (A, W) evidence relative to that of the prior of any site, (A, W, 2) means in m/s and
            (A, W, 2, 2) covariances in m^2/s^2.
        """
        # N(v; mean, variance) / N(v; 0, prior) is what the observations say. Its product with that
        # of another's velocity is a Gaussian about a mean that is linear in that velocity.
        seen, other, prior = 1.0 / variances, _SPREAD_M_S**-2, 1.0 / prior_variance
        precision = seen + other - prior
        of_seen, of_other = (seen / precision)[..., None], (other / precision)[..., None]
        pairs = seen[..., None] * of_other
        exponents = pairs * (means_m_s @ self._walking.T)
        exponents -= (0.5 * other) * (1.0 - of_other) * self._squares
        squares = (means_m_s * means_m_s).sum(axis=2, keepdims=True)
        exponents -= 0.5 * seen[..., None] * (1.0 - of_seen) * squares
        shares = np.exp(exponents)  # (A, W, M)
        shares *= pairs * (self._weight / prior)
        elsewhere = 1.0 - self._weight * len(self._walking)
        evidence = shares.sum(axis=2, keepdims=True) + elsewhere
        moments = (shares @ self._moments) / evidence
        elsewhere = elsewhere / evidence
        base = of_seen * means_m_s
        from_others = of_other * moments[..., :2]
        mean = base + from_others + elsewhere * (means_m_s - base)
        mixed = _outer(base, from_others)
        covariance = mixed + np.swapaxes(mixed, 2, 3) - _outer(mean, mean)
        covariance += (of_other * of_other * moments[..., 2:]).reshape(covariance.shape)
        covariance += ((1.0 - elsewhere) * of_seen**2 + elsewhere)[..., None] * _outer(
            means_m_s, means_m_s
        )
        within = (1.0 - elsewhere[..., 0]) / precision + elsewhere[..., 0] * variances
        covariance[..., 0, 0] += within
        covariance[..., 1, 1] += within
        return evidence[..., 0], mean, covariance


def _outer(left: FloatArray, right: FloatArray) -> FloatArray:
    """(..., 2, 2) products of (..., 2) vectors."""
    return np.asarray(left[..., :, None] * right[..., None, :])
