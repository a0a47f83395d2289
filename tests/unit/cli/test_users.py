"""`pacsnode users`: the same as the page does, from the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger.database import Ledger
from tests.support.console import cheap_hashes
from tests.support.sites.calls import Run


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    """What passwords cost is looked at elsewhere."""
    with cheap_hashes():
        yield


def test_the_first_admin(run: Run, config: Path) -> None:
    """Before the node has been started there is no ledger; the first user can be added anyway."""
    (config.parent / "data").mkdir()
    assert "There is no user yet" in run("users", "list", "-c", config).out
    added = run("users", "add", "Kim", "--role", "admin", "-c", config)
    assert added.code == 0
    assert "user kim is added with the role admin\npassword for the first login: " in added.out
    (kim,) = json.loads(run("users", "list", "--json", "-c", config).out)["users"]
    assert (kim["name"], kim["role"], kim["must_change"], kim["disabled"]) == ("kim", "admin", True, False)
    refused = run("users", "remove", "kim", "-c", config)
    assert (refused.code, "kim is the last admin" in refused.err) == (1, True)


def test_each_change_is_an_event(run: Run, config: Path, ledger: Ledger) -> None:
    """Who typed it is on record, with what; a password is not."""
    run("users", "add", "kim", "--role", "admin", "-c", config)
    secret = run("users", "add", "lee", "--role", "viewer", "-c", config).out.split()[-1]
    run("users", "role", "lee", "auditor", "-c", config)
    run("users", "password", "lee", "-c", config)
    run("users", "disable", "lee", "-c", config)
    assert "disabled" in run("users", "list", "-c", config).out
    run("users", "enable", "lee", "-c", config)
    assert "user lee is removed" in run("users", "remove", "lee", "-c", config).out
    rows = ledger.database.query("SELECT kind, actor, detail FROM events WHERE kind LIKE 'user.%' ORDER BY id")
    assert [row["kind"] for row in rows if '"lee"' in row["detail"]] == [
        "user.added",
        "user.changed",
        "user.password",
        "user.changed",
        "user.changed",
        "user.removed",
    ]
    assert all(row["actor"].startswith("os:") for row in rows)
    assert secret not in str(rows)
