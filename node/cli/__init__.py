"""The `pacsnode` command. docs/cli.md describes it; a test holds that page to this code."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 ok, 1 it did not work, 2 wrong usage or configuration."""
    from node.cli.commands import run

    run(arguments)
