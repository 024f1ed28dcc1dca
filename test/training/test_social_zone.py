"""The network, its graph and its calibration are consistent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from social_implicit_ros.metrics.reliability import confidence_levels, reliability_scores
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion
from social_implicit_ros.uncertainty.ellipses import sample_moments

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
from social_implicit_ros.training.social_zone.graph import N_CHOICE, N_FLOOR, social_zone_graph  # noqa: E402
from social_implicit_ros.training.social_zone.model import (  # noqa: E402
    VARIANCE_FLOOR,
    SocialZone,
    SocialZoneSizes,
    live_parameters,
    time_basis,
)

pytestmark = pytest.mark.training

#: Settings without any augmentation.
UNCHANGED = FitSettings(
    mirror=False,
    speed_sigma=0.0,
    jitter_m=0.0,
    grid_share=0.0,
    dropped_share=0.0,
    turn_share=0.0,
    short_history_share=0.0,
)


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
    session = onnxruntime.InferenceSession(social_zone_graph(model).SerializeToString())
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
    n_noise = N_CHOICE + model.sizes.spread + N_FLOOR
    noise = generator.normal(size=(7, n_noise)).astype(np.float32)

    output = run(model, agents, mask, noise)

    with torch.no_grad():
        mixture = model(agents.observed, mask, agents.neighbours)
        mean = model.paths(mixture.mean, mixture.frame).numpy()
        rows = model.paths(mixture.spread, mixture.frame).numpy()
        modes = model.paths(mixture.representatives, mixture.frame).numpy()
        xx, yy, xy = (values.numpy() for values in model.moments(mixture))
        heading, scale = mixture.frame.heading.numpy(), mixture.frame.scale.numpy()
    turn = np.stack([heading, np.stack([-heading[:, 1], heading[:, 0]], axis=1)], axis=2)
    in_frame = np.stack([xx, xy, xy, yy], axis=-1).reshape(n_agents, 12, 2, 2)
    covariance = (
        np.einsum("aij,atjk,alk->atil", turn, in_frame, turn) * scale[:, None, None, None] ** 2
    )
    probabilities = mixture.probabilities.numpy()
    np.testing.assert_allclose(output["mean"], mean, atol=1e-4)
    np.testing.assert_allclose(output["covariance"], covariance, atol=1e-4)
    np.testing.assert_allclose(output["representatives"], modes.swapaxes(0, 1), atol=1e-4)
    np.testing.assert_allclose(output["probabilities"], probabilities, atol=1e-5)
    floor = np.sqrt(VARIANCE_FLOOR) * scale[:, None, None] * turn.swapaxes(1, 2)  # (A, 2, 2)
    about = np.concatenate([rows, np.broadcast_to(floor[:, :, None], (n_agents, 2, 12, 2))], axis=1)
    uniform = [0.5 * (1.0 + math.erf(value / math.sqrt(2.0))) for value in noise[:, 0]]
    chosen = (np.array(uniform)[:, None, None] > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=2)
    samples = modes[np.arange(n_agents), chosen] + np.einsum("ks,astx->katx", noise[:, 1:], about)
    np.testing.assert_allclose(output["samples"], samples, atol=1e-4)


def test_mean_and_covariance_are_the_moments_of_modes_and_draws() -> None:
    model = untrained()
    agents = agents_of_scenes([walkers(5)])
    noise = standard_normal(2**14, N_CHOICE + model.sizes.spread + N_FLOOR, 0, "sobol")
    output = run(model, agents, torch.ones(5, 8), noise)
    weight = output["probabilities"].T[..., None, None]
    np.testing.assert_allclose(weight.sum(axis=0), 1.0, atol=1e-5)
    modes_mean = (weight * output["representatives"]).sum(axis=0)
    np.testing.assert_allclose(output["mean"], modes_mean, atol=1e-4)
    about = output["representatives"] - output["mean"]
    between = np.einsum("ka,katx,katy->atxy", output["probabilities"].T, about, about)
    # What the modes leave is the covariance about each of them.
    assert (np.linalg.eigvalsh(output["covariance"] - between) > 0.0).all()
    mean, covariance = sample_moments(output["samples"].astype(np.float64))
    np.testing.assert_allclose(mean, output["mean"], atol=0.02)
    np.testing.assert_allclose(covariance, output["covariance"], atol=0.02, rtol=0.05)


def test_the_parameter_budget_is_kept() -> None:
    assert live_parameters(SocialZone()) <= 10_000


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
    mixture = model(agents.observed, torch.ones(30, 8), agents.neighbours)

    loss = nearest_future_loss(
        model, mixture, agents.future, softness_m=1e-4, final_weight=0.0
    ).item()

    futures = model.paths(mixture.representatives, mixture.frame)
    nearest = (futures - agents.future[:, None]).norm(dim=-1).square().mean(dim=2).sqrt().amin(1)
    # The loss compares projections onto the basis, which are close for small noise.
    assert loss == pytest.approx(nearest.mean().item(), rel=0.1)


def test_training_lowers_the_error_and_repeats() -> None:
    agents = agents_of_scenes([walkers(40, seed) for seed in range(5)])
    settings = FitSettings(iterations=60, batch=64)

    def error(model: SocialZone) -> float:
        with torch.no_grad():
            mixture = model(agents.observed, torch.ones(len(agents), 8), agents.neighbours)
            return nearest_future_loss(
                model, mixture, agents.future, softness_m=1e-4, final_weight=1.0
            ).item()

    torch.manual_seed(0)
    start = error(SocialZone())
    first, second = (error(fit(agents, seed=0, settings=settings)) for _ in range(2))

    assert first < 0.85 * start
    assert first == second


def test_sharper_probabilities_have_the_same_modes_in_the_same_order() -> None:
    agents = agents_of_scenes([walkers(40, 0)])
    mask = torch.ones(len(agents), 8)
    plain, sharp = (
        fit(
            agents,
            seed=0,
            settings=FitSettings(iterations=30, batch=64, trust=1.0, sharpness=sharpness),
        )(agents.observed, mask, agents.neighbours)
        for sharpness in (1.0, 2.0)
    )

    torch.testing.assert_close(sharp.logits, 2.0 * plain.logits)
    torch.testing.assert_close(sharp.representatives, plain.representatives)


def test_augmentation_keeps_two_observations_and_the_last_position() -> None:
    torch.manual_seed(0)
    agents = agents_of_scenes([walkers(400)])
    batch, mask = augment(agents, replace(UNCHANGED, mirror=True, short_history_share=1.0))

    assert set(mask.sum(dim=1).tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0, 7.0}
    assert bool((mask[:, -2:] == 1).all())
    mirrored = batch.positions[..., 1] / agents.positions[..., 1]
    assert set(mirrored[:, 0].round().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(batch.positions[..., 0], agents.positions[..., 0])


def test_a_bend_keeps_lengths_and_the_last_position_and_turns_steadily() -> None:
    torch.manual_seed(0)
    start = np.random.default_rng(0).uniform(-5, 5, (300, 1, 2))
    straight = start + np.array([0.5, 0.0]) * np.arange(20.0)[:, None]
    agents = agents_of_scenes([straight])
    settings = replace(UNCHANGED, turn_share=1.0, turn_rad=(0.1, 0.2), turn_steps=1e9)
    batch, _ = augment(agents, settings)
    steps = np.diff(batch.positions.numpy(), axis=1)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=2), 0.5, rtol=1e-3)
    np.testing.assert_allclose(batch.positions[:, 7], agents.positions[:, 7], atol=1e-4)
    turns = np.diff(np.unwrap(np.arctan2(steps[..., 1], steps[..., 0])), axis=1)
    np.testing.assert_allclose(turns, turns[:, :1].repeat(18, axis=1), atol=1e-3)
    assert 0.1 <= np.abs(turns).min() < 0.12
    assert 0.18 < np.abs(turns).max() <= 0.2
    assert (turns > 0).any()
    assert (turns < 0).any()


def test_noise_has_its_size_and_correlation_and_leaves_the_future() -> None:
    torch.manual_seed(0)
    agents = agents_of_scenes([walkers(4000)])
    batch, _ = augment(agents, replace(UNCHANGED, jitter_m=0.1, correlation=0.9))
    noise_m = (batch.positions - agents.positions).numpy()
    np.testing.assert_allclose(noise_m[:, 8:], 0.0, atol=1e-5)
    noisy = np.abs(noise_m[:, :8]).max(axis=(1, 2)) > 1e-3
    assert noisy.mean() == pytest.approx(0.5, abs=0.05)
    variance = noise_m[noisy, :8].var(axis=(0, 2))
    # Uniform standard deviations up to 0.1 m, at every step.
    np.testing.assert_allclose(variance, 0.1**2 / 3.0, rtol=0.15)
    products = (noise_m[noisy, 1:8] * noise_m[noisy, :7]).mean()
    # A quarter is correlated, by 0.45 on average.
    assert products / variance.mean() == pytest.approx(0.25 * 0.45, abs=0.04)


def smooth(speeds_m_s: np.ndarray) -> ObservedMotion:
    return ObservedMotion(speeds_m_s, np.zeros(len(speeds_m_s)))


def test_calibration_finds_the_factors_of_a_gaussian() -> None:
    generator = np.random.default_rng(0)
    n_agents, n_steps = 3000, 4
    speed = generator.choice([0.0, 1.0], n_agents)
    sigma = np.where(speed == 0.0, 2.0, 0.8)[:, None, None]
    error = sigma * generator.normal(size=(n_agents, n_steps, 2))
    claimed = np.broadcast_to(np.eye(2), (n_agents, n_steps, 2, 2))

    calibration = calibrate(Residuals(error, claimed, smooth(speed), np.ones(n_agents)))

    assert isinstance(calibration, Calibration)
    motion = smooth(np.array([0.0, 1.0]))
    variances = calibration.calibrated(claimed[:2], motion)[0][..., 0, 0]
    samples = calibration.spread(np.ones((1, 2, n_steps, 2)), np.zeros((2, n_steps, 2)), motion)
    for found in (np.sqrt(variances), samples[0, ..., 0]):
        np.testing.assert_allclose(found[0], 2.0, rtol=0.06)
        np.testing.assert_allclose(found[1], 0.8, rtol=0.06)


def test_calibration_of_a_mixture_gives_nominal_coverage_at_every_level() -> None:
    generator = np.random.default_rng(0)
    n_agents, n_steps = 3000, 4
    sigma = generator.choice([1.0, 4.0], (2 * n_agents, 1, 1), p=(0.8, 0.2))
    found, new = np.split(sigma * generator.normal(size=(2 * n_agents, n_steps, 2)), 2)
    claimed = np.broadcast_to(np.eye(2), (n_agents, n_steps, 2, 2))
    motion = smooth(np.ones(n_agents))

    calibration = calibrate(Residuals(found, claimed, motion, np.ones(n_agents)))
    covariance, radius_scales = calibration.calibrated(claimed, motion)
    levels = confidence_levels(np.zeros_like(new), covariance, new, radius_scales)

    assert min(reliability_scores(levels)) > 0.96
    assert min(reliability_scores(confidence_levels(np.zeros_like(new), covariance, new))) < 0.9


def test_a_speed_without_data_takes_the_nearest_factors() -> None:
    error = np.random.default_rng(0).normal(size=(200, 2, 2))
    claimed = np.broadcast_to(np.eye(2), (200, 2, 2, 2))

    calibration = calibrate(Residuals(error, claimed, smooth(np.ones(200)), np.ones(200)))

    for other in (0, -1):
        np.testing.assert_array_equal(calibration.ellipse[other], calibration.ellipse[5])


def test_recordings_of_any_length_have_the_same_weight() -> None:
    def recording(n_agents: int, sigma: float) -> Residuals:
        error = sigma * np.random.default_rng(n_agents).normal(size=(n_agents, 2, 2))
        claimed = np.broadcast_to(np.eye(2), (n_agents, 2, 2, 2))
        return Residuals(error, claimed, smooth(np.ones(n_agents)), np.ones(n_agents))

    short, long = recording(2000, 3.0), recording(20_000, 1.0)
    alike = calibrate(Residuals.joined([short, recording(2001, 1.0)]))
    np.testing.assert_allclose(
        calibrate(Residuals.joined([short, long])).ellipse, alike.ellipse, rtol=0.1
    )
    assert (calibrate(Residuals.joined([long])).ellipse < 0.5 * alike.ellipse).all()
