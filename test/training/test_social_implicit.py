from __future__ import annotations

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")

from support.released_cells import predict_cell, random_checkpoint  # noqa: E402

from social_implicit_ros.training.social_implicit.data import pack  # noqa: E402
from social_implicit_ros.training.social_implicit.model import (  # noqa: E402
    NOISE_WEIGHTS,
    ZONE_BOUNDS_M,
    SocialImplicit,
    observed_displacements,
    separated_slots,
    used_parameters,
)
from social_implicit_ros.training.social_implicit.released import assign_released  # noqa: E402

pytestmark = pytest.mark.training

#: A speed inside each zone, metres per step.
ZONE_SPEEDS_M = (0.005, 0.05, 0.5, 1.5)


def random_model(**options: bool) -> SocialImplicit:
    model = SocialImplicit(**options)
    assign_released(model, random_checkpoint(), source="test")
    return model.eval()


def walkers(zones: list[int], seed: int = 0) -> torch.Tensor:
    """(A, 8, 2) people at constant velocity with speeds of the given zones."""
    generator = torch.Generator().manual_seed(seed)
    heading = 2 * np.pi * torch.rand(len(zones), generator=generator)
    speed = torch.tensor([ZONE_SPEEDS_M[zone] for zone in zones])
    velocity = speed[:, None] * torch.stack([heading.cos(), heading.sin()], dim=1)
    start = 5 * torch.randn(len(zones), 1, 2, generator=generator)
    return start + torch.arange(8)[:, None] * velocity[:, None]


def mask_of(observed: torch.Tensor) -> torch.Tensor:
    return torch.ones(observed.shape[:2])


def test_the_model_has_5836_parameters() -> None:
    assert sum(parameter.numel() for parameter in SocialImplicit().parameters()) == 5836


def test_zones_by_speed_use_all_parameters_released_zones_a_quarter() -> None:
    assert used_parameters(SocialImplicit()) == 5836
    assert used_parameters(SocialImplicit(zones_by_speed=False)) == 1459


@pytest.mark.parametrize("zones", [[2], [0, 0], [1, 1, 1], [0, 1, 2, 3], [2, 0, 2, 3, 1, 2, 2]])
def test_each_zone_is_convolved_by_its_own_cell(zones: list[int]) -> None:
    observed = walkers(zones)
    noise = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    steps = observed_displacements(observed)

    with torch.no_grad():
        predicted = random_model()(observed, mask_of(observed), noise)

    for zone in set(zones):
        own = torch.tensor(zones) == zone
        expected = predict_cell(random_checkpoint(), zone, steps[own], noise, NOISE_WEIGHTS[zone])
        torch.testing.assert_close(predicted[:, own], expected.cumsum(dim=2), atol=1e-4, rtol=1e-4)


def test_released_zones_are_all_the_first() -> None:
    observed = walkers([3, 0, 2, 1])
    noise = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        predicted = random_model(zones_by_speed=False)(observed, mask_of(observed), noise)

    steps = observed_displacements(observed)
    expected = predict_cell(random_checkpoint(), 0, steps, noise, NOISE_WEIGHTS[0])
    torch.testing.assert_close(predicted, expected.cumsum(dim=2), atol=1e-4, rtol=1e-4)


def test_zones_depend_on_the_maximum_observed_speed() -> None:
    steps = torch.zeros(5, 8, 2)
    steps[1, 3] = torch.tensor([0.0, -0.02])
    steps[2, 7] = torch.tensor([0.3, 0.4])
    steps[2, 1] = torch.tensor([0.02, 0.0])
    steps[3, 5] = torch.tensor([-1.0, 1.0])
    steps[4, 2, 0] = ZONE_BOUNDS_M[2]

    assert SocialImplicit().zones(steps).tolist() == [0, 1, 2, 3, 2]


def test_packed_scenes_are_predicted_as_one_by_one(small_crowd: list[np.ndarray]) -> None:
    model = random_model()
    batch = pack(small_crowd)
    noise = torch.randn(5, len(small_crowd), 2, generator=torch.Generator().manual_seed(2))

    with torch.no_grad():
        packed = model(batch.observed, batch.mask, noise[:, batch.scene], batch.scene)
        for number, scene in enumerate(small_crowd):
            alone = pack([scene])
            expected = model(alone.observed, alone.mask, noise[:, number])
            own = batch.scene == number
            torch.testing.assert_close(packed[:, own], expected, atol=1e-5, rtol=1e-5)


def test_no_gradient_leaks_between_packed_scenes(small_crowd: list[np.ndarray]) -> None:
    batch = pack(small_crowd)
    observed = batch.observed.requires_grad_()
    noise = torch.randn(3, len(observed), 2)

    predicted = random_model()(observed, batch.mask, noise, batch.scene)
    predicted[:, batch.scene == 5].sum().backward()

    moved = observed.grad.abs().sum(dim=(1, 2)) > 0
    assert set(batch.scene[moved].tolist()) == {5}


def test_only_neighbours_in_the_zone_affect_the_prediction() -> None:
    observed = walkers([2, 0, 2, 2, 2]).requires_grad_()
    noise = torch.zeros(1, 2)

    random_model()(observed, mask_of(observed), noise)[:, 0].sum().backward()

    # Two layers reach two neighbours of the same zone; the agent of another zone is no neighbour.
    seen = observed.grad.abs().sum(dim=(1, 2)) > 0
    assert seen.tolist() == [True, False, True, True, False]


def test_all_agents_of_a_scene_share_the_noise_of_a_sample() -> None:
    observed = walkers([2, 2, 2]).detach()
    noise = torch.randn(4, 2)
    model = random_model()

    with torch.no_grad():
        once = model(observed, mask_of(observed), noise)
        per_agent = model(observed, mask_of(observed), noise[:, None].expand(-1, 3, -1))

    torch.testing.assert_close(once, per_agent)


def test_only_displacements_matter() -> None:
    observed = walkers([2, 1, 3])
    noise = torch.randn(4, 2)
    model = random_model()

    with torch.no_grad():
        here = model(observed, mask_of(observed), noise)
        there = model(observed + torch.tensor([3.0, -7.0]), mask_of(observed), noise)

    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


def test_every_combination_of_zones_can_be_predicted() -> None:
    model = random_model()
    noise = torch.randn(3, 2)

    for present in product([False, True], repeat=4):
        zones = [zone for zone in range(4) if present[zone]]
        if zones:
            observed = walkers(zones)
            predicted = model(observed, mask_of(observed), noise)
            assert predicted.shape == (3, len(zones), 12, 2)
            assert torch.isfinite(predicted).all()


def test_one_empty_slot_separates_two_scenes() -> None:
    assert separated_slots(torch.tensor([0, 0, 3, 3, 3, 4])).tolist() == [0, 1, 3, 4, 5, 7]


def test_the_first_displacement_is_zero() -> None:
    steps = observed_displacements(walkers([2, 3]))

    assert steps.shape == (2, 8, 2)
    assert (steps[:, 0] == 0).all()
    torch.testing.assert_close(steps[:, 1].norm(dim=1), torch.tensor([0.5, 1.5]))
