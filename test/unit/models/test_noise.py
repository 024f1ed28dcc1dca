import numpy as np
import pytest

from social_implicit_ros.models.noise import standard_normal, standardised_normal


@pytest.mark.parametrize("sequence", ["independent", "sobol"])
def test_the_same_arguments_give_the_same_draws(sequence: str) -> None:
    first = standard_normal(20, 2, 7, sequence).copy()
    standard_normal.cache_clear()

    np.testing.assert_array_equal(standard_normal(20, 2, 7, sequence), first)
    assert not np.array_equal(standard_normal(20, 2, 8, sequence), first)


@pytest.mark.parametrize("sequence", ["independent", "sobol"])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 20, 1000])
def test_shape_and_type_follow_the_contract(sequence: str, n_samples: int) -> None:
    draws = standard_normal(n_samples, 3, 0, sequence)

    assert draws.shape == (n_samples, 3)
    assert draws.dtype == np.float32
    assert np.isfinite(draws).all()


@pytest.mark.parametrize("sequence", ["independent", "sobol"])
def test_draws_are_standard_normal(sequence: str) -> None:
    draws = standard_normal(8192, 2, 1, sequence)

    np.testing.assert_allclose(draws.mean(axis=0), 0.0, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(2), atol=0.05)
    np.testing.assert_allclose((np.abs(draws) < 1.0).mean(axis=0), 0.6827, atol=0.02)


def test_quasi_random_draws_have_a_covariance_of_less_variance() -> None:
    def spread_of_variance(sequence: str) -> float:
        return float(np.std([standard_normal(32, 2, s, sequence).var() for s in range(50)]))

    assert spread_of_variance("sobol") < 0.5 * spread_of_variance("independent")


def test_draws_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        standard_normal(4, 2, 0, "independent")[0, 0] = 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 2, 0, "halton"), "noise sequence is 'halton'"),
        ((0, 2, 0, "independent"), "at least 1"),
        ((4, 0, 0, "sobol"), "at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        standard_normal(*arguments)


@pytest.mark.parametrize("n_samples", [20, 100])
def test_standardised_draws_have_exactly_the_moments_of_the_distribution(n_samples: int) -> None:
    draws = standardised_normal(n_samples, 4, 0)
    np.testing.assert_allclose(draws.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(draws.T @ draws / n_samples, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("n_samples", [1, 3, 8])
def test_the_mean_of_few_standardised_draws_is_zero(n_samples: int) -> None:
    """A covariance of one needs more draws than dimensions."""
    draws = standardised_normal(n_samples, 8, 0)
    assert draws.shape == (n_samples, 8)
    np.testing.assert_allclose(draws.mean(axis=0), 0.0, atol=1e-12)
