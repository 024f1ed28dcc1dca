from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")

from social_implicit_ros.training.social_implicit.losses import (  # noqa: E402
    agent_pairs,
    displacements,
    pair_angle,
    pair_distance,
    scene_mean,
    social_implicit_losses,
    total_loss,
)

pytestmark = pytest.mark.training


def one_step(*steps: tuple[float, float]) -> torch.Tensor:
    """(A, 1, 2) trajectories of a single step."""
    return torch.tensor(steps)[:, None]


def test_losses_of_a_scene_by_hand() -> None:
    # Two agents, one step, three samples; the ground truth is one step along x and one along y.
    ground_truth = one_step((1.0, 0.0), (0.0, 1.0))
    samples = torch.stack(
        [
            one_step((3.0, 0.0), (0.0, 3.0)),  # mean absolute error 1
            one_step((1.0, 0.0), (1.0, 1.0)),  # 1 / 4, the nearest
            one_step((1.0, 1.0), (1.0, 1.0)),  # 2 / 4
        ]
    )

    losses = social_implicit_losses(samples, ground_truth, torch.tensor([0, 0]))

    assert losses["imle"].item() == pytest.approx(0.25)
    # Nearest to second: one of four numbers differs by 1. To the farthest: 2, 0, 1, 2 of four.
    assert losses["triplet"].item() == pytest.approx(1 / 4 - 5 / 4)
    # The agents' displacements are 1 m apart instead of sqrt(2), and 45 instead of 90 degrees.
    assert losses["distance"].item() == pytest.approx(math.sqrt(2.0) - 1.0, abs=1e-5)
    assert losses["angle"].item() == pytest.approx(math.pi / 4, abs=1e-5)


def test_the_nearest_sample_is_chosen_for_each_scene_as_a_whole() -> None:
    ground_truth = one_step((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    # Sample 0 is best for agent 0 only, sample 1 for scene 0 as a whole; scene 1 is best at 0.
    samples = torch.stack(
        [one_step((0.0, 0.0), (4.0, 0.0), (0.0, 0.0)), one_step((1.0, 0.0), (1.0, 0.0), (2.0, 0.0))]
    )

    losses = social_implicit_losses(samples, ground_truth, torch.tensor([0, 0, 1]))

    assert losses["imle"].item() == pytest.approx((0.5 + 0.0) / 2)


def test_only_the_nearest_second_and_farthest_samples_are_trained() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(6, 4, 12, 2, generator=generator, requires_grad=True)
    ground_truth = torch.randn(4, 12, 2, generator=generator)

    losses = social_implicit_losses(samples, ground_truth, torch.tensor([0, 0, 0, 0]))
    losses["imle"].backward(retain_graph=True)
    trained = (samples.grad.abs().sum(dim=(1, 2, 3)) > 0).nonzero().flatten()
    errors = (displacements(samples) - displacements(ground_truth)).abs().mean(dim=(1, 2, 3))

    assert trained.tolist() == [int(errors.argmin())]
    samples.grad = None
    losses["triplet"].backward()
    assert int((samples.grad.abs().sum(dim=(1, 2, 3)) > 0).sum()) == 3


def test_all_terms_equal_a_loop_over_scenes_and_pairs() -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = (3, 1, 4)
    scene = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    samples = torch.randn(5, 8, 12, 2, generator=generator).cumsum(dim=2)
    ground_truth = torch.randn(8, 12, 2, generator=generator).cumsum(dim=1)

    losses = social_implicit_losses(samples, ground_truth, scene)

    expected: dict[str, list[float]] = {"imle": [], "triplet": [], "distance": [], "angle": []}
    for number in range(3):
        own = scene == number
        steps = samples[:, own].diff(dim=2, prepend=torch.zeros(5, sizes[number], 1, 2))
        true_steps = ground_truth[own].diff(dim=1, prepend=torch.zeros(sizes[number], 1, 2))
        order = sorted(range(5), key=lambda k: float((steps[k] - true_steps).abs().sum()))
        first, second, last = (steps[order[place]] for place in (0, 1, -1))
        expected["imle"].append(float((first - true_steps).abs().mean()))
        expected["triplet"].append(
            float((first - second).abs().mean() - (first - last).abs().mean())
        )
        distance, angle = [], []
        for i in range(sizes[number]):
            for j in range(i):
                for t in range(12):
                    distance.append(
                        abs(
                            math.dist(first[i, t], first[j, t])
                            - math.dist(true_steps[i, t], true_steps[j, t])
                        )
                    )
                    angle.append(
                        abs(
                            _angle(first[i, t], first[j, t])
                            - _angle(true_steps[i, t], true_steps[j, t])
                        )
                    )
        if distance:
            expected["distance"].append(sum(distance) / len(distance))
            expected["angle"].append(sum(angle) / len(angle))
    for name, values in expected.items():
        assert losses[name].item() == pytest.approx(sum(values) / len(values), abs=1e-4)


def _angle(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1)))


def test_of_a_perfect_sample_only_the_triplet_remains() -> None:
    generator = torch.Generator().manual_seed(2)
    ground_truth = torch.randn(4, 12, 2, generator=generator)
    samples = torch.stack([ground_truth, ground_truth + 1.0])

    losses = social_implicit_losses(samples, ground_truth, torch.tensor([0, 0, 1, 1]))

    assert losses["imle"].item() == losses["distance"].item() == losses["angle"].item() == 0.0


def test_people_who_stand_still_have_a_finite_gradient() -> None:
    samples = torch.zeros(3, 3, 12, 2, requires_grad=True)

    losses = social_implicit_losses(samples, torch.zeros(3, 12, 2), torch.tensor([0, 0, 0]))
    sum(losses.values()).backward()

    assert torch.isfinite(samples.grad).all()


def test_scenes_of_single_agents_have_no_pairs() -> None:
    samples = torch.ones(3, 2, 12, 2, requires_grad=True)

    losses = social_implicit_losses(samples, torch.zeros(2, 12, 2), torch.tensor([0, 1]))
    total_loss(losses).backward()

    assert losses["distance"].item() == losses["angle"].item() == 0.0


def test_total_is_the_weighted_sum() -> None:
    losses = {"imle": 1.0, "triplet": 2e4, "distance": 3e5, "angle": 4e4}

    total = total_loss({name: torch.tensor(value) for name, value in losses.items()})

    assert total.item() == pytest.approx(1.0 + 2.0 + 3.0 + 4.0)


def test_pairs_stay_within_their_scene() -> None:
    first, other = agent_pairs(torch.tensor([0, 0, 1, 2, 2, 2]))

    assert list(zip(first.tolist(), other.tolist(), strict=True)) == [
        (0, 1),
        (3, 4),
        (3, 5),
        (4, 5),
    ]


def test_scene_mean_weighs_agents_within_their_scene() -> None:
    means = scene_mean(torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([0, 0, 1]))

    assert means.flatten().tolist() == [2.0, 10.0]


@pytest.mark.parametrize(
    ("b", "distance", "angle"),
    [
        ((0.0, 2.0), math.sqrt(5.0), math.pi / 2),
        ((-3.0, 0.0), 4.0, math.pi),
        ((0.5, 0.0), 0.5, 0.0),
        ((1.0, -1.0), 1.0, math.pi / 4),
    ],
)
def test_pair_terms_by_hand(b: tuple[float, float], distance: float, angle: float) -> None:
    steps = one_step((1.0, 0.0), b)
    first, other = torch.tensor([0]), torch.tensor([1])

    assert pair_distance(steps, first, other).item() == pytest.approx(distance, abs=1e-5)
    assert pair_angle(steps, first, other).item() == pytest.approx(angle, abs=1e-5)
