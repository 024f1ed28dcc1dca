"""An empirical prior for velocities: how people move at this site.

Two observations within 0.1 s hardly determine a velocity, but people at a site have preferred
directions and speeds. The prior is a Gaussian mixture of the velocities of established tracks and
of a general prior for any site.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, FloatArray, ObservationWindow

#: Maximum number of stored velocities, one per person, the newest ones.
_CAPACITY = 128
#: Time between two updates, nanoseconds.
_PERIOD_NS = NS_PER_S
#: A track is established with this many observed steps and at most this standard deviation of its
#: velocity.
_ESTABLISHED_STEPS, _ESTABLISHED_STD_M_S = 4, 0.2
#: Tracks that move less are not people, but for example pillars, metres.
_STILL_M = 1e-3
#: Weight of the general prior as a number of people: for velocities of people who walk, and for the
#: probability of standing. With less, regions of new tracks with other velocities are too small.
_PRIOR_WEIGHT, _STANDING_WEIGHT = 5.0, 30.0
#: People below this speed stand, metres per second.
_STANDS_M_S = 0.3
#: General prior probability that a person stands.
STANDING = 0.45
#: Standard deviation of each mixture component about its stored velocity, metres per second.
_SPREAD_M_S = 0.2


class SiteMotion:
    """The velocities of people at this site, one per person.

    Attributes:
        standing: probability that a person stands.
    """

    def __init__(self) -> None:
        self._learned_ns = 0
        self._velocity_m_s: dict[str, FloatArray] = {}  # by id, the newest last
        self._summarise()

    def __len__(self) -> int:
        """Number of stored velocities."""
        return len(self._velocity_m_s)

    def learn(self, window: ObservationWindow, frozen: Collection[str] = ()) -> None:
        """Stores the velocities of established tracks, at most once a second.

        Args:
            window: window of a tick; ignored if its states are not estimated.
            frozen: ids of tracks to ignore, as their positions are exactly constant.
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
        self._weight = 1.0 / (_PRIOR_WEIGHT + len(walking))  # of each stored velocity
        products = walking[:, :, None] * walking[:, None]
        self._moments = np.concatenate([walking, products.reshape(-1, 4)], axis=1)

    def posterior(
        self, means_m_s: FloatArray, variances: FloatArray, prior_variance: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Replaces the general prior of velocity estimates of walking people by that of this site.

        Args:
            means_m_s: (A, W, 2) estimates of W hypotheses with the general prior, m/s.
            variances: (A, W), or (1, W) for all, variance of each component of these, m^2/s^2.
            prior_variance: variance of each component of the general prior, whose mean is zero,
                m^2/s^2.

        Returns:
            (A, W) evidence relative to that with the general prior, (A, W, 2) means in m/s and
            (A, W, 2, 2) covariances in m^2/s^2.
        """
        # N(v; mean, variance) / N(v; 0, prior) is the likelihood of the observations. Its product
        # with a mixture component is a Gaussian whose mean is linear in the stored velocity.
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
    """(..., 2, 2) outer products of (..., 2) vectors."""
    return np.asarray(left[..., :, None] * right[..., None, :])
