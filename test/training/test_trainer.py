from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")

from torch import nn  # noqa: E402

from social_implicit_ros.models.noise import standard_normal  # noqa: E402
from social_implicit_ros.training.social_implicit import trainer  # noqa: E402
from social_implicit_ros.training.social_implicit.data import pack  # noqa: E402
from social_implicit_ros.training.social_implicit.losses import social_implicit_losses, total_loss  # noqa: E402
from social_implicit_ros.training.social_implicit.model import SocialImplicit  # noqa: E402
from social_implicit_ros.training.social_implicit.trainer import (  # noqa: E402
    Epoch,
    Settings,
    accuracy,
    decisive_noise,
    train,
)

pytestmark = pytest.mark.training


def trained(
    scenes: list[np.ndarray], settings: Settings, epochs: list[Epoch] | None = None
) -> SocialImplicit:
    torch.manual_seed(settings.seed)
    model = SocialImplicit()
    heard = [] if epochs is None else epochs
    train(model, scenes, scenes[:8], settings, on_epoch=heard.append)
    return model


class Straight(nn.Module):
    """Constant velocity times a learnt factor; noise shifts the whole scene."""

    noise_dimension = 2

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(
        self,
        observed: torch.Tensor,
        mask: torch.Tensor,
        noise: torch.Tensor,
        scene: torch.Tensor | None = None,
    ) -> torch.Tensor:
        velocity = self.factor * (observed[:, -1] - observed[:, -2])
        walked = velocity[:, None] * torch.arange(1, 13)[:, None]
        return walked + 0.1 * noise[:, :, None]


def test_two_epochs_lower_the_loss(small_crowd: list[np.ndarray]) -> None:
    epochs: list[Epoch] = []

    trained(small_crowd * 4, Settings(epochs=2, scenes_per_batch=8, n_samples=5), epochs)

    assert [epoch.number for epoch in epochs] == [1, 2]
    assert epochs[1].training_loss < 0.8 * epochs[0].training_loss
    assert epochs[1].validation.fde_m < epochs[0].validation.fde_m


def test_samples_without_gradient_do_not_affect_training(small_crowd: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    model = SocialImplicit()
    batch = pack(small_crowd)
    noise = torch.randn(20, batch.n_scenes, 2)

    def value_and_gradient(drawn: torch.Tensor) -> tuple[float, torch.Tensor]:
        model.zero_grad()
        predicted = model(batch.observed, batch.mask, drawn[:, batch.scene], batch.scene)
        value = total_loss(social_implicit_losses(predicted, batch.future, batch.scene))
        value.backward()
        return value.item(), torch.cat([p.grad.flatten() for p in model.parameters()])

    chosen = decisive_noise(model, batch, noise)
    value, gradient = value_and_gradient(noise)
    same_value, same_gradient = value_and_gradient(chosen)

    assert chosen.shape == (3, batch.n_scenes, 2)
    assert same_value == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(same_gradient, gradient, atol=1e-6, rtol=1e-4)


def test_the_seed_determines_the_model(small_crowd: list[np.ndarray]) -> None:
    def weights(seed: int) -> torch.Tensor:
        settings = Settings(
            seed=seed, epochs=1, scenes_per_batch=8, n_samples=3, short_history_share=0.3
        )
        return nn.utils.parameters_to_vector(trained(small_crowd, settings).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_model_of_the_best_epoch_is_kept(
    small_crowd: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loss increases speeds, so that the first epoch has the lowest validation error.
    model = Straight(1.0)
    monkeypatch.setattr(trainer, "total_loss", lambda losses: -model.factor)
    received: list[tuple[Epoch, float]] = []

    best = train(
        model,
        small_crowd,
        small_crowd,
        Settings(epochs=4, scenes_per_batch=8, n_samples=2, learning_rate=0.1),
        on_epoch=lambda epoch: received.append((epoch, model.factor.item())),
    )

    assert best == min((epoch for epoch, _ in received), key=lambda epoch: epoch.validation.total_m)
    assert best.number == 1
    assert model.factor.item() == received[0][1] != received[-1][1]


def test_a_loss_that_is_not_finite_stops_the_training(
    small_crowd: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "total_loss", lambda losses: losses["imle"] * math.nan)
    with pytest.raises(FloatingPointError, match="nan in epoch 1; lower the learning rate"):
        train(Straight(), small_crowd, small_crowd, Settings(epochs=1))


def test_accuracy_is_the_mean_over_agents_of_the_best_of_20(small_crowd: list[np.ndarray]) -> None:
    measured = accuracy(Straight(0.9), small_crowd, seed=5)

    seeds = np.random.SeedSequence(5).generate_state(len(small_crowd))
    ade, fde = [], []
    for scene, seed in zip(small_crowd, seeds, strict=True):
        noise = standard_normal(20, 2, int(seed), "independent")
        for agent in scene:
            step = 0.9 * (agent[7] - agent[6])
            path = agent[7] + np.arange(1, 13)[:, None] * step
            error = np.linalg.norm(path + 0.1 * noise[:, None] - agent[8:], axis=-1)
            ade.append(error.mean(axis=1).min())
            fde.append(error[:, -1].min())
    assert measured.ade_m == pytest.approx(np.mean(ade), abs=1e-5)
    assert measured.fde_m == pytest.approx(np.mean(fde), abs=1e-5)


def test_accuracy_with_a_short_history() -> None:
    # A turn before the last two steps does not affect Straight; it would affect the mean speed.
    received: list[torch.Tensor] = []

    class Watched(Straight):
        def forward(self, observed, mask, noise, scene=None):
            received.append(mask)
            return super().forward(observed, mask, noise, scene)

    accuracy(Watched(), [np.zeros((3, 20, 2))], n_known=2)

    assert received[0].tolist() == [[0.0] * 6 + [1.0] * 2] * 3
