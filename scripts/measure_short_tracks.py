#!/usr/bin/env python3
"""Measures error and coverage of predictions by the number of observations of a track.

Simulated people, of whom half stand and half walk straight or in circles at 0.5 to 1.8 m/s, are
seen by trackers of several rates and with white noise. Prints the table in docs/trackers.md.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from scipy.signal import fftconvolve

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, Tracks

AGES = (2, 3, 4, 5, 8, 15, 30, 60)
#: Squared Mahalanobis radius of the 95 % region.
REGION_95 = 5.991
#: Time after which people are replaced by others, seconds. The first ones only teach the noise.
LIFE_S = 8.0
N_LIVES = 3
#: Turn rate of people who walk in circles, radians per second.
TURN_RAD_S = 0.3
#: Range of the speeds of people who walk, metres per second.
SPEEDS_M_S = (0.5, 1.8)
#: Maximum number of observations for the bound; with more, its grid would be too coarse.
MAX_BOUND = 5


def measure(
    rate_hz: float,
    noise_m: float,
    config: PipelineConfig,
    *,
    turn_rad_s: float = 0.0,
    velocity_noise_m_s: float | None = None,
    everybody_walks: bool = False,
    n_people: int = 150,
) -> list[tuple[float, float]]:
    """Median end error in metres and coverage, for each of `AGES` that fits into a life."""
    generator = np.random.default_rng(0)
    model = load_model("default")
    horizon_s = model.step_s * model.n_predicted
    pipeline = PredictionPipeline(model, config)
    places_m = 80.0 * np.stack(np.divmod(np.arange(n_people), 12), axis=1)
    found: dict[int, list[FloatArray]] = {age: [] for age in AGES}
    n_ticks = round(LIFE_S * rate_hz)
    for life in range(N_LIVES):
        speed = generator.uniform(*SPEEDS_M_S, n_people)
        if not everybody_walks:
            speed *= np.arange(n_people) % 2
        heading = generator.uniform(-np.pi, np.pi, n_people)
        walk = partial(position_m, places_m, speed, heading, turn_rad_s)
        ids = tuple(f"{life}.{n}" for n in range(n_people))
        for n in range(n_ticks):
            stamp_ns = round((100 + life * (LIFE_S + 5) + n / rate_hz) * NS_PER_S)
            seen_m = walk(n / rate_hz) + generator.normal(0.0, noise_m, places_m.shape)
            velocities_m_s = None
            if velocity_noise_m_s is not None:
                velocities_m_s = np.zeros((n_people, 3))
                velocities_m_s[:, :2] = (walk(n / rate_hz + 0.01) - walk(n / rate_hz)) / 0.01
                velocities_m_s[:, :2] += generator.normal(0.0, velocity_noise_m_s, places_m.shape)
            pipeline.history.insert(Tracks(stamp_ns, ids, seen_m, velocities_m_s=velocities_m_s))
            tick = pipeline.tick(stamp_ns)
            if n + 1 not in found or life == 0:
                continue
            end_m = walk(n / rate_hz + horizon_s)
            rows = [tick.window.ids.index(agent_id) for agent_id in ids]
            off_m = end_m - tick.prediction.mean[rows, -1]
            inverse = np.linalg.inv(tick.prediction.covariance[rows, -1] + 1e-9 * np.eye(2))
            is_inside = np.einsum("ai,aij,aj->a", off_m, inverse, off_m) <= REGION_95
            found[n + 1].append(np.stack([np.hypot(*off_m.T), is_inside]))
    parts = (np.concatenate(part, axis=1) for part in found.values() if part)
    return [(float(np.median(part[0])), float(part[1].mean())) for part in parts]


def bound_m(n_observed: int, rate_hz: float, noise_m: float, horizon_s: float = 4.8) -> float:
    """A lower bound of the median end error of any predictor for walking people, metres.

    The best predictor knows that they walk, the distribution of their speeds, the noise, and their
    exact present position. For each measured velocity it chooses the end near most walkers.
    """
    noise_m_s = noise_m * rate_hz * (12.0 / (n_observed * (n_observed**2 - 1.0))) ** 0.5
    cell = 0.04  # metres per second
    axis = np.arange(-2.0, 2.0 + cell, cell)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    speed = np.hypot(x, y)
    prior = np.where(
        (SPEEDS_M_S[0] <= speed) & (speed <= SPEEDS_M_S[1]), 1.0 / np.maximum(speed, cell), 0.0
    )
    measured = np.arange(cell / 2.0, SPEEDS_M_S[1] + 5.0 * noise_m_s, cell)
    posteriors = [
        prior * seen * np.exp(-((x - seen) ** 2 + y**2) / (2.0 * noise_m_s**2)) for seen in measured
    ]
    total = sum(posterior.sum() for posterior in posteriors)

    def share_within(end_m: float) -> float:
        near = np.hypot(x, y) <= end_m / horizon_s
        hits = (fftconvolve(posterior, near, mode="same").max() for posterior in posteriors)
        return float(sum(hits) / total)

    low_m, high_m = 0.0, 9.0
    while high_m - low_m > 0.01:
        middle_m = 0.5 * (low_m + high_m)
        low_m, high_m = (middle_m, high_m) if share_within(middle_m) < 0.5 else (low_m, middle_m)
    return high_m


def position_m(
    places_m: FloatArray, speed: FloatArray, heading: FloatArray, turn_rad_s: float, time_s: float
) -> FloatArray:
    """(A, 2) positions after a time, on straight lines or on circles."""
    half_turn = 0.5 * turn_rad_s * time_s
    chord_m = speed * time_s * np.sinc(half_turn / np.pi)
    directions = np.stack([np.cos(heading + half_turn), np.sin(heading + half_turn)], axis=1)
    return np.asarray(places_m + chord_m[:, None] * directions)


def main() -> None:
    """Prints the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| tracker | " + " | ".join(f"{age}" for age in AGES) + " |")
    print("|---" * (len(AGES) + 1) + "|")
    estimated, exact = PipelineConfig(), PipelineConfig(position_noise_m=0.0)
    cases = [
        (rate, noise, estimated, 0.0, "")
        for rate, noise in (
            (2.5, 0.05), (5.0, 0.05), (10.0, 0.0), (10.0, 0.02), (10.0, 0.05), (10.0, 0.1),
            (30.0, 0.05),
        )
    ]  # fmt: skip
    cases.append((10.0, 0.05, exact, 0.0, ", exact"))
    cases.append((10.0, 0.05, estimated, TURN_RAD_S, ", turning"))
    cases.append((10.0, 0.0, exact, TURN_RAD_S, ", turning, exact"))
    velocity_noises = dict.fromkeys(cases) | {
        (10.0, 0.05, estimated, 0.0, f", velocities {100 * std:g} cm/s"): std for std in (0.1, 0.2)
    }
    for (rate, noise, config, turn_rad_s, text), velocity_noise_m_s in velocity_noises.items():
        found = measure(
            rate, noise, config, turn_rad_s=turn_rad_s, velocity_noise_m_s=velocity_noise_m_s
        )
        cells = [f"{error:.2f}, {100 * share:.0f} %" for error, share in found]
        cells += ["-"] * (len(AGES) - len(cells))
        print(f"| {rate:g} Hz, {100 * noise:g} cm{text} | " + " | ".join(cells) + " |", flush=True)
    found = measure(10.0, 0.05, estimated, everybody_walks=True)
    cells = [f"{error:.2f}, {100 * share:.0f} %" for error, share in found]
    print("| 10 Hz, 5 cm, everybody walks | " + " | ".join(cells) + " |")
    bounds = [f"{bound_m(n, 10.0, 0.05):.2f}" if n <= MAX_BOUND else "-" for n in AGES]
    print("| the same, bound | " + " | ".join(bounds) + " |")


if __name__ == "__main__":
    main()
