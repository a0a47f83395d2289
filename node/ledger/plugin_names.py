"""Names of plugins as rows are compared by them: a rule may write `lung_density` where the site says `lung-density`."""

from __future__ import annotations


def key_of(name: str) -> str:
    """The one form of a plugin's name."""
    return name.replace("_", "-")


def sql_key(column: str) -> str:
    """The same of a column, as SQL."""
    return f"replace({column}, '_', '-')"
