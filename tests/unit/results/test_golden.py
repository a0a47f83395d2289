"""Pages look as they did when a person last looked at them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.results.golden import PAGES, drawn, kept


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_one_that_was_looked_at(name: str) -> None:
    """Not one pixel in a thousand differs visibly. Else `python -m tests.support.results.golden`, and look."""
    before, now = kept(name).astype(int), drawn(name).astype(int)
    assert before.shape == now.shape
    # Another FreeType may shade an edge otherwise; a text that moved or changed is far more than this.
    assert (np.abs(before - now).max(axis=2) > 60).mean() < 0.001
