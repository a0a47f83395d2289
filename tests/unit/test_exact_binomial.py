"""Clopper-Pearson limits without a statistics library, against SciPy and published values."""

from __future__ import annotations

import pytest

from node import exact_binomial


@pytest.mark.parametrize(
    ("hits", "of"), [(0, 200), (1, 200), (10, 200), (23, 200), (199, 200), (200, 200), (37, 1000), (500, 1000), (3, 10)]
)
def test_the_limits_are_those_of_scipy(hits: int, of: int) -> None:
    """`binomtest(...).proportion_ci(method="exact")` at 99 %, to nine digits."""
    from scipy import stats  # two seconds of imports, for every process that collects the tests

    wanted = stats.binomtest(hits, of).proportion_ci(confidence_level=0.99, method="exact")
    lower, upper = exact_binomial.limits(hits, of)
    assert lower == pytest.approx(wanted.low, abs=1e-9)
    assert upper == pytest.approx(wanted.high, abs=1e-9)


def test_the_limits_are_the_published_ones() -> None:
    """Clopper and Pearson's 95 % limits for 10 of 100, as textbooks give them: 4.90 % to 17.62 %."""
    lower, upper = exact_binomial.limits(10, 100, error=0.025)
    assert (round(100 * lower, 2), round(100 * upper, 2)) == (4.90, 17.62)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("of", [200, 500])
def test_a_count_is_beyond_a_share_exactly_where_its_limit_is(of: int, share: float) -> None:
    """So a window needs no inverse: the first count above, and the last below."""
    above, below = exact_binomial.least_above(of, share), exact_binomial.most_below(of, share)
    if above <= of:
        assert exact_binomial.limits(above, of)[0] > share
    assert exact_binomial.limits(above - 1, of)[0] <= share
    if below >= 0:
        assert exact_binomial.limits(below, of)[1] < share
    assert exact_binomial.limits(below + 1, of)[1] >= share


@pytest.mark.parametrize(
    ("hits", "of", "share"), [(12, 200, 0.05), (0, 200, 0.05), (200, 200, 0.999), (1000, 20_000, 0.05)]
)
def test_the_tails_are_those_of_scipy(hits: int, of: int, share: float) -> None:
    """Also far out, where factorials overflow."""
    from scipy import stats

    assert exact_binomial.at_least(hits, of, share) == pytest.approx(stats.binom.sf(hits - 1, of, share), rel=1e-9)
    assert exact_binomial.at_most(hits, of, share) == pytest.approx(stats.binom.cdf(hits, of, share), rel=1e-9)
