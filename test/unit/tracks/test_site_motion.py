"""Velocities of established tracks are a prior for velocities of short and noisy tracks."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.estimation.site_motion import SiteMotion
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.types import ROBOT_ID, FloatArray, ObservationWindow, Tracks

NOISE_M, PRIOR_VARIANCE = 0.05, 0.9
#: A walk along a street, metres per second.
ALONG = (1.2, 0.1)


def window(
    velocities_m_s: list[tuple[float, float]],
    *,
    ids: tuple[str, ...] | None = None,
    stamp_s: float = 10.0,
    n_observed: int = 8,
    variance: float = 0.01,
) -> ObservationWindow:
    """People at constant velocities, whose states are known with some variance."""
    velocities = np.array(velocities_m_s)
    n_people = len(velocities)
    return ObservationWindow(
        stamp_ns=round(stamp_s * 1e9),
        step_s=0.4,
        ids=ids or tuple(str(n) for n in range(n_people)),
        positions_m=velocities[:, None] * np.arange(-7, 1)[:, None] * 0.4,
        n_observed=np.full(n_people, n_observed),
        heights_m=np.zeros(n_people),
        covariances_m2=np.zeros((n_people, 2, 2)),
        state_covariances=np.broadcast_to(variance * np.eye(4), (n_people, 4, 4)),
    )


def test_without_people_the_prior_is_the_general_one() -> None:
    """Estimates are not changed."""
    mean, variance = np.array([[[0.7, -0.4]]]), np.array([[0.3]])
    evidence, same, covariance = SiteMotion().posterior(mean, variance, PRIOR_VARIANCE)
    assert evidence == pytest.approx(1.0)
    np.testing.assert_allclose(same, mean)
    np.testing.assert_allclose(covariance[0, 0], 0.3 * np.eye(2))


def test_nothing_is_learned_from_the_robot_and_from_frozen_tracks() -> None:
    site = SiteMotion()
    site.learn(window([ALONG] * 3, ids=("a", "b", ROBOT_ID)), frozen={"b"})
    assert len(site) == 1


@pytest.mark.parametrize("variance", [0.005, 0.1, 0.8])
def test_the_posterior_is_that_of_bayes_rule(variance: float) -> None:
    """Compared with a sum of prior times likelihood over a grid of velocities."""
    site = SiteMotion()
    walks = [(1.2, 0.1), (-0.9, 0.3), (0.4, -1.0)]
    site.learn(window([*walks, (0.05, 0.0)]))
    mean = np.array([0.5, -0.2])
    axis = np.linspace(-6.0, 6.0, 1201)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    of_any_site = gaussian(grid, np.zeros(2), PRIOR_VARIANCE)
    # The general prior counts as five people.
    prior = (5.0 * of_any_site + sum(gaussian(grid, np.array(v), 0.2**2) for v in walks)) / 8.0
    density = prior * gaussian(grid, mean, variance) / of_any_site
    evidence = density.sum() * 0.01**2
    expected = (density[..., None] * grid).sum(axis=(0, 1)) / density.sum()
    off = grid - expected
    covariance = np.einsum("xy,xyi,xyj->ij", density, off, off) / density.sum()

    found = site.posterior(mean[None, None], np.array([[variance]]), PRIOR_VARIANCE)

    assert found[0][0, 0] == pytest.approx(evidence, rel=1e-6)
    np.testing.assert_allclose(found[1][0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(found[2][0, 0], covariance, atol=1e-6)


def gaussian(at: FloatArray, mean: FloatArray, variance: float) -> FloatArray:
    """Density with the same variance in both directions."""
    square = ((at - mean) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-0.5 * square / variance) / (2.0 * np.pi * variance))


def test_people_who_stand_increase_the_probability_of_standing_only() -> None:
    """Only velocities of people who walk are components of the prior."""
    site, mean = SiteMotion(), np.array([[[0.7, -0.4]]])
    before = site.standing
    site.learn(window([(0.05, 0.0), (0.02, 0.01)]))
    assert site.standing > before
    np.testing.assert_allclose(site.posterior(mean, np.array([[0.3]]), PRIOR_VARIANCE)[1], mean)


@pytest.mark.parametrize(
    "unknown",
    [
        window([ALONG], n_observed=3),
        window([ALONG], variance=0.09),
        window([ALONG], ids=(ROBOT_ID,)),
        window([(0.0, 0.0)]),
    ],
    ids=["new", "uncertain", "robot", "pillar"],
)
def test_only_established_tracks_of_people_are_learned_from(unknown: ObservationWindow) -> None:
    """Estimates of new tracks depend on the prior itself."""
    site = SiteMotion()
    site.learn(unknown)
    assert len(site) == 0


def test_each_person_counts_once_and_the_oldest_are_forgotten() -> None:
    """Otherwise a person who stays for long, or is observed at a high rate, would dominate."""
    site = SiteMotion()
    for second in range(20):
        site.learn(window([ALONG], stamp_s=10.0 + second))
    assert len(site) == 1
    many = tuple(f"later {n}" for n in range(1000))
    site.learn(window([ALONG] * 1000, ids=many, stamp_s=40.0))
    assert len(site) == 128


def errors_m_s(n_before: int, velocity_m_s: FloatArray) -> list[float]:
    """Error of a new track's velocity at its 2nd and 20th position, after others walked there."""
    generator = np.random.default_rng(0)
    errors: list[list[float]] = [[], []]
    for _ in range(15):
        history = TrackHistory(HistoryLimits())
        for tick in range(60):
            time_s = 0.1 * tick
            walks_m = np.arange(n_before)[:, None] * 5.0 + np.array(ALONG) * time_s
            newcomer_m = np.array([[-3.0, 0.0]]) + velocity_m_s * time_s
            seen_m = np.concatenate([walks_m, newcomer_m] if tick >= 40 else [walks_m])
            seen_m = seen_m + generator.normal(0.0, NOISE_M, seen_m.shape)
            ids = tuple(str(n) for n in range(n_before)) + ("new",) * (tick >= 40)
            stamp_ns = round((100.0 + time_s) * 1e9)
            history.insert(Tracks(stamp_ns, ids, seen_m))
            found, _ = history.window(stamp_ns)
            if tick in (41, 59):
                steps_m = np.diff(found.positions_m[found.ids.index("new"), -2:], axis=0)[0]
                error_m_s = float(np.hypot(*(steps_m / 0.4 - velocity_m_s)))
                errors[tick == 59].append(error_m_s)
    return [float(np.median(each)) for each in errors]


@pytest.mark.slow
def test_a_new_track_is_estimated_with_the_velocities_of_others() -> None:
    """Two positions 0.1 s apart give only a rough direction."""
    alone, _ = errors_m_s(0, np.array(ALONG))
    among_others, _ = errors_m_s(8, np.array(ALONG))
    assert among_others < 0.5 * alone


def test_a_walk_against_the_flow_is_estimated_correctly_after_two_seconds() -> None:
    """The observations outweigh the prior."""
    _, later = errors_m_s(8, -np.array(ALONG))
    assert later < 0.15


def test_reset_forgets_stored_velocities() -> None:
    """Another site has another prior."""
    history = TrackHistory(HistoryLimits())
    stamps_ns = [round((100.0 + 0.1 * tick) * 1e9) for tick in range(40)]

    def second_window_m(first: int) -> FloatArray:
        for stamp_ns in stamps_ns[first:]:
            time_s = (stamp_ns - stamps_ns[first]) * 1e-9
            history.insert(Tracks(stamp_ns, ("a",), np.array([ALONG]) * time_s))
            found, _ = history.window(stamp_ns)
            if len(found.ids) and found.n_observed[0] == 2:
                return found.positions_m
        raise AssertionError("no window")

    fresh_m = second_window_m(0)
    for stamp_ns in stamps_ns[2:]:
        history.insert(Tracks(stamp_ns, ("a",), np.array([ALONG]) * 1e-9 * stamp_ns))
        history.window(stamp_ns)
    history.reset()
    np.testing.assert_array_equal(second_window_m(0), fresh_m)
