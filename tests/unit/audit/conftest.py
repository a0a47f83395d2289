"""The Standard's schema of audit messages (PS3.15 A.5.1)."""

from __future__ import annotations

import pytest
import rnc2rng
from lxml import etree

from tests.support.shared_data import shared_data


@pytest.fixture(scope="session")
def schema() -> etree.RelaxNG:
    """Skipped where the schema is not there."""
    found = rnc2rng.dumps(rnc2rng.load(str(shared_data("audit/audit-message.rnc"))))
    return etree.RelaxNG(etree.fromstring(found.encode()))
