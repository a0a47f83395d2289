"""Exact bounds of a share by the binomial distribution, without a statistics library.

C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial,
Biometrika 26 (1934) 404-413, doi:10.1093/biomet/26.4.404. The lower limit for `hits` of `of` is the share for which
this many hits or more have the probability `error`; so it is above a share exactly where the tail at that share is
smaller than `error`. That needs no inverse of the beta distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable

ERROR = 0.005
"""On each side: together a confidence of 99 %."""
_HALVINGS = 40


def at_least(hits: int, of: int, share: float) -> float:
    """Probability of `hits` or more of `of`, each with the probability `share`, between 0 and 1."""
    return math.fsum(_exactly(number, of, share) for number in range(max(hits, 0), of + 1))


def at_most(hits: int, of: int, share: float) -> float:
    """Probability of `hits` or fewer."""
    return math.fsum(_exactly(number, of, share) for number in range(min(hits, of) + 1))


def least_above(of: int, share: float, error: float = ERROR) -> int:
    """The fewest hits of `of` whose lower limit is above `share`; `of` + 1 where no number is enough."""
    return next((hits for hits in range(of + 1) if at_least(hits, of, share) < error), of + 1)


def most_below(of: int, share: float, error: float = ERROR) -> int:
    """The most hits of `of` whose upper limit is below `share`; -1 where even none is too many."""
    return next((hits for hits in range(of, -1, -1) if at_most(hits, of, share) < error), -1)


def limits(hits: int, of: int, error: float = ERROR) -> tuple[float, float]:
    """The Clopper-Pearson limits of the share of which `hits` of `of` were seen, `error` on each side."""
    lower = 0.0 if hits == 0 else _where(lambda share: at_least(hits, of, share) < error)
    upper = 1.0 if hits == of else 1.0 - _where(lambda share: at_most(hits, of, 1.0 - share) < error)
    return lower, upper


def _where(holds: Callable[[float], bool]) -> float:
    """The greatest share for which something holds that holds for all below."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _exactly(hits: int, of: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(hits == of * share)
    ways = math.lgamma(of + 1) - math.lgamma(hits + 1) - math.lgamma(of - hits + 1)
    return math.exp(ways + hits * math.log(share) + (of - hits) * math.log1p(-share))
