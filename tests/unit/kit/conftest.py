"""The command and a configuration, as the tests of the commands have them."""

from __future__ import annotations

from tests.unit.cli.conftest import config, run

__all__ = ["config", "run"]
