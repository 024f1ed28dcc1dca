"""The network, its graph and its calibration are consistent."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from social_implicit_ros.metrics.reliability import confidence_levels, reliability_scores
from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")

from social_implicit_ros.training.calibrate import Residuals, calibrate  # noqa: E402
from social_implicit_ros.training.social_zone.fit import (  # noqa: E402
    Agents,
    FitSettings,
    agents_of_scenes,
    augment,
    fit,
    nearest_future_loss,
)
from social_implicit_ros.training.social_zone.graph import (  # noqa: E402
    N_FLOOR,
    social_zone_graph,
)
from social_implicit_ros.training.social_zone.model import (  # noqa: E402
    VARIANCE_FLOOR,
    SocialZone,
    SocialZoneSizes,
    live_parameters,
    time_basis,
)

pytestmark = pytest.mark.training

FLOOR_M = 0.25


def walkers(n_agents: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    start = generator.uniform(-5, 5, (n_agents, 1, 2))
    velocity = generator.normal(0.0, 0.4, (n_agents, 1, 2))
    steps = velocity + generator.normal(0.0, 0.05, (n_agents, 20, 2))
    return start + np.cumsum(steps, axis=1)


def untrained(**sizes: int) -> SocialZone:
    torch.manual_seed(3)
    model = SocialZone(SocialZoneSizes(**sizes))
    with torch.no_grad():
        for values in model.parameters():
            values.add_(0.05 * torch.randn_like(values))
    model.trust = 0.3
    return model.eval()


def run(model: SocialZone, agents: Agents, mask: torch.Tensor, noise: np.ndarray) -> dict:
    session = onnxruntime.InferenceSession(
        social_zone_graph(model, sample_floor_m=FLOOR_M).SerializeToString()
    )
    names = [entry.name for entry in session.get_outputs()]
    feed = {"observed": agents.observed.numpy(), "mask": mask.numpy(), "noise": noise}
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.mark.parametrize("n_agents", [1, 2, 11])
@pytest.mark.parametrize("sizes", [{}, {"social": 0}, {"rank": 2, "spread": 3, "reach": 3}])
def test_the_graph_computes_the_same_as_the_network(n_agents: int, sizes: dict) -> None:
    model = untrained(**sizes)
    scene = walkers(n_agents)
    scene[0, :8] = scene[0, 7]  # one agent stands
    agents = agents_of_scenes([scene])
    mask = torch.ones(n_agents, 8)
    mask[-1, :4] = 0.0
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(7, model.sizes.spread + N_FLOOR)).astype(np.float32)

    output = run(model, agents, mask, noise)

    with torch.no_grad():
        forecast = model(agents.observed, mask, agents.neighbours)
        mean = model.paths(forecast.mean, forecast.frame).numpy()
        rows = model.paths(forecast.spread, forecast.frame).numpy()
        futures = model.paths(forecast.representatives, forecast.frame).numpy()
    floor = VARIANCE_FLOOR * forecast.frame.scale.numpy() ** 2
    covariance = np.einsum("astx,asty->atxy", rows, rows) + np.multiply.outer(
        floor, np.broadcast_to(np.eye(2), (12, 2, 2))
    )
    np.testing.assert_allclose(output["mean"], mean, atol=1e-4)
    np.testing.assert_allclose(output["covariance"], covariance, atol=1e-4)
    np.testing.assert_allclose(output["representatives"], futures.swapaxes(0, 1), atol=1e-4)
    heading = forecast.frame.heading.numpy()
    left = np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    time = FLOOR_M * np.arange(1, 13) / 12
    floor_paths = np.stack([heading, left], axis=1)[:, :, None] * time[:, None]  # (A, 2, T, 2)
    paths = np.concatenate([rows, floor_paths], axis=1)
    samples = mean + np.einsum("ks,astx->katx", noise, paths)
    np.testing.assert_allclose(output["samples"], samples, atol=1e-4)


def test_the_parameter_budget_is_kept() -> None:
    assert live_parameters(SocialZone()) <= 5836


def test_the_basis_is_orthogonal_and_zero_at_the_start() -> None:
    basis = time_basis(4)

    np.testing.assert_allclose((basis.T @ basis).numpy(), 12 * np.eye(4), atol=1e-4)
    # Constant velocity is in its span.
    steps = torch.arange(1.0, 13.0)
    np.testing.assert_allclose(basis @ (basis.T @ steps) / 12, steps, atol=1e-4)


def test_coefficients_are_the_inverse_of_paths() -> None:
    model, agents = untrained(), agents_of_scenes([walkers(6)])
    frame = model.frame(agents.observed, torch.ones(6, 8))
    coefficients = torch.randn(6, 4, 2)

    again = model.coefficients(model.paths(coefficients, frame), frame)

    np.testing.assert_allclose(again.numpy(), coefficients.numpy(), atol=1e-4)


def test_unknown_steps_do_not_affect_the_prediction() -> None:
    model, scene = untrained(), walkers(5)
    changed = scene.copy()
    changed[:, :5] += 3.0
    mask = torch.ones(5, 8)
    mask[:, :5] = 0.0

    means = [
        model(agents.observed, mask, agents.neighbours).mean.detach().numpy()
        for agents in (agents_of_scenes([scene]), agents_of_scenes([changed]))
    ]

    np.testing.assert_allclose(means[0], means[1], atol=1e-5)


def test_the_loss_is_the_distance_to_the_nearest_mode() -> None:
    model, agents = untrained(), agents_of_scenes([walkers(30)])
    forecast = model(agents.observed, torch.ones(30, 8), agents.neighbours)

    loss = nearest_future_loss(
        model, forecast, agents.future, softness_m=1e-4, final_weight=0.0
    ).item()

    futures = model.paths(forecast.representatives, forecast.frame)
    nearest = (futures - agents.future[:, None]).norm(dim=-1).square().mean(dim=2).sqrt().amin(1)
    # The loss compares projections onto the basis, which are close for small noise.
    assert loss == pytest.approx(nearest.mean().item(), rel=0.1)


def test_training_lowers_the_error_and_repeats() -> None:
    agents = agents_of_scenes([walkers(40, seed) for seed in range(5)])
    settings = FitSettings(iterations=60, batch=64)

    def error(model: SocialZone) -> float:
        with torch.no_grad():
            forecast = model(agents.observed, torch.ones(len(agents), 8), agents.neighbours)
            return nearest_future_loss(
                model, forecast, agents.future, softness_m=1e-4, final_weight=1.0
            ).item()

    torch.manual_seed(0)
    start = error(SocialZone())
    first, second = (error(fit(agents, seed=0, settings=settings)) for _ in range(2))

    assert first < 0.8 * start
    assert first == second


def test_augmentation_keeps_two_observations_and_the_last_position() -> None:
    torch.manual_seed(0)
    agents = agents_of_scenes([walkers(400)])
    batch, mask = augment(
        agents, FitSettings(jitter_m=0.0, speed_sigma=0.0, short_history_share=1.0)
    )

    assert set(mask.sum(dim=1).tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0, 7.0}
    assert bool((mask[:, -2:] == 1).all())
    mirrored = batch.positions[..., 1] / agents.positions[..., 1]
    assert set(mirrored[:, 0].round().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(batch.positions[..., 0], agents.positions[..., 0])


def smooth(speeds_m_s: np.ndarray) -> ObservedMotion:
    return ObservedMotion(speeds_m_s, np.zeros(len(speeds_m_s)))


def test_calibration_finds_the_factors_of_a_gaussian() -> None:
    generator = np.random.default_rng(0)
    n_agents, n_steps = 3000, 4
    speed = generator.choice([0.0, 1.0], n_agents)
    sigma = np.where(speed == 0.0, 2.0, 0.8)[:, None, None]
    error = sigma * generator.normal(size=(n_agents, n_steps, 2))
    claimed = np.broadcast_to(np.eye(2), (n_agents, n_steps, 2, 2))

    calibration = calibrate(Residuals(error, claimed, claimed, smooth(speed)))

    assert isinstance(calibration, Calibration)
    for factors in (calibration.ellipse_factors, calibration.sample_factors):
        found = factors(smooth(np.array([0.0, 1.0])))
        np.testing.assert_allclose(found[0], 2.0, rtol=0.06)
        np.testing.assert_allclose(found[1], 0.8, rtol=0.06)


def test_calibration_of_a_mixture_gives_nominal_coverage_at_every_level() -> None:
    generator = np.random.default_rng(0)
    n_agents, n_steps = 3000, 4
    sigma = generator.choice([1.0, 4.0], (2 * n_agents, 1, 1), p=(0.8, 0.2))
    found, new = np.split(sigma * generator.normal(size=(2 * n_agents, n_steps, 2)), 2)
    claimed = np.broadcast_to(np.eye(2), (n_agents, n_steps, 2, 2))
    motion = smooth(np.ones(n_agents))

    calibration = calibrate(Residuals(found, claimed, claimed, motion))
    covariance, level_factors = calibration.calibrated(claimed, motion)
    levels = confidence_levels(np.zeros_like(new), covariance, new, level_factors)

    assert min(reliability_scores(levels)) > 0.97
    assert min(reliability_scores(confidence_levels(np.zeros_like(new), covariance, new))) < 0.9


def test_a_speed_without_data_takes_the_nearest_factors() -> None:
    error = np.random.default_rng(0).normal(size=(200, 2, 2))
    claimed = np.broadcast_to(np.eye(2), (200, 2, 2, 2))

    calibration = calibrate(Residuals(error, claimed, claimed, smooth(np.ones(200))))

    for other in (0, -1):
        np.testing.assert_array_equal(calibration.ellipse[other], calibration.ellipse[3])
