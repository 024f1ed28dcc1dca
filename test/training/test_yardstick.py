"""The reference of the speed benchmark computes the same as the paper's model."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")

from support.released_cells import random_checkpoint  # noqa: E402
from support.yardstick import PlainSocialImplicit  # noqa: E402

from social_implicit_ros.training.social_implicit.model import SocialImplicit  # noqa: E402
from social_implicit_ros.training.social_implicit.released import assign_released  # noqa: E402

pytestmark = pytest.mark.training


def test_the_yardstick_is_the_papers_model() -> None:
    weights = random_checkpoint()
    model = SocialImplicit().double()
    assign_released(model, weights, source="random")
    generator = np.random.default_rng(0)
    velocity = generator.normal(0.0, [[[0.02]], [[0.3]], [[0.3]], [[3.0]], [[0.3]]], (5, 1, 2))
    observed = torch.tensor(np.cumsum(velocity.repeat(8, axis=1), axis=1))
    noise = torch.tensor(generator.normal(size=(7, 2)))
    steps = torch.cat([torch.zeros(5, 1, 2), observed.diff(dim=1)], dim=1).double()

    with torch.no_grad():
        plain = PlainSocialImplicit(weights).predict(
            steps.permute(2, 1, 0)[None], noise[..., None, None]
        )
        expected = model(observed, torch.ones(5, 8), noise)

    paths = plain.permute(0, 3, 2, 1).cumsum(dim=2)
    torch.testing.assert_close(paths, expected)
