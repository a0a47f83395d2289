"""The page Users: what an admin does there is what the command does, and is on record."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.accounts import users
from node.accounts.roles import Role
from tests.support.console import PASSWORD, ConsoleClient, cheap_hashes, text_of
from tests.support.sites.console_site import ConsoleSite


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    """What passwords cost is looked at elsewhere."""
    with cheap_hashes():
        yield


@pytest.fixture
def site(tmp_path: Path) -> ConsoleSite:
    """A site without users."""
    return ConsoleSite(tmp_path)


@pytest.fixture
def admin(site: ConsoleSite) -> ConsoleClient:
    """Its admin, who has just logged in."""
    made = site.visitor()
    made.log_in(Role.ADMIN)
    return made


def test_a_user_from_the_first_day_to_the_last(site: ConsoleSite, admin: ConsoleClient) -> None:
    """Added, with a password shown once; another role; disabled, enabled, removed: each is an event of the admin."""
    assert admin.post("/users/add", {"name": "Kim", "role": "viewer"}).headers["location"] == "/users"
    page = text_of(admin.get("/users"))
    found = re.search(r"password for the first login: (\S+)", page)
    assert found, page
    assert found[1] not in text_of(admin.get("/users")), "shown once"
    kim = site.visitor()
    assert kim.post("/login", {"name": "kim", "password": found[1]}, token=False).status_code == 303
    for path, values, said in (
        ("/users/role", {"role": "auditor"}, "user kim has the role auditor now"),
        ("/users/password", {}, "password for the next login of kim:"),
        ("/users/disable", {}, "user kim is disabled"),
        ("/users/enable", {}, "user kim is enabled"),
        ("/users/remove", {}, "user kim is removed"),
    ):
        admin.post(path, {"name": "kim", **values})
        assert said in text_of(admin.get("/users"))
    assert kim.get("/").headers["location"] == "/login"
    rows = site.ledger.database.query("SELECT kind, actor, detail FROM events WHERE kind LIKE 'user.%' ORDER BY id")
    kinds = [row["kind"] for row in rows if row["actor"] == "user:admin" and "kim" in row["detail"]]
    changed = ["user.added", "user.changed", "user.password", "user.changed", "user.changed", "user.removed"]
    assert kinds == changed
    assert found[1] not in str(rows)


def test_what_cannot_be_done_is_said(site: ConsoleSite, admin: ConsoleClient) -> None:
    """The last admin stays, a name is unique, and a role is one of four."""
    for path, values, said in (
        ("/users/disable", {"name": "admin"}, "is the last admin"),
        ("/users/remove", {"name": "admin"}, "is the last admin"),
        ("/users/role", {"name": "admin", "role": "viewer"}, "is the last admin"),
        ("/users/add", {"name": "admin", "role": "viewer"}, "there is a user admin already"),
        ("/users/add", {"name": "a/b", "role": "viewer"}, "cannot be the name of a user"),
        ("/users/add", {"name": "lee", "role": "root"}, "a role is one of"),
        ("/users/remove", {"name": "nobody"}, "there is no user"),
    ):
        admin.post(path, values)
        assert said in text_of(admin.get("/users")), (path, values)
    assert [each.name for each in users.every(admin.accounts)] == ["admin"]


def test_the_password_is_asked_for_again(site: ConsoleSite, admin: ConsoleClient) -> None:
    """Whoever finds a browser open cannot make an admin: five minutes after the last password it is needed again."""
    token = admin.token()
    admin.accounts.query("UPDATE sessions SET confirmed_at=?", [time.time() - 301])
    assert admin.get("/users").headers["location"] == "/confirm?next=/users"
    answer = admin.ask("POST", "/users/add", data={"csrf": token, "name": "evil", "role": "admin"})
    assert answer.headers["location"] == "/confirm?next=/users"
    assert users.get(admin.accounts, "evil") is None
    assert admin.post("/confirm", {"password": PASSWORD, "next": "/users"}).headers["location"] == "/users"
    assert admin.get("/users").status_code == 200


def test_a_user_of_the_single_sign_on_gets_no_password(site: ConsoleSite, admin: ConsoleClient) -> None:
    """Such a user is let in by the hospital's login alone."""
    admin.post("/users/add", {"name": "sso", "role": "reader", "without_password": "1"})
    page = text_of(admin.get("/users"))
    assert "by single sign-on alone" in page
    assert "password for the first login:" not in page


def test_korean(site: ConsoleSite, admin: ConsoleClient) -> None:
    """The page is in Korean, too."""
    admin.post("/language", {"language": "ko", "back": "/users"})
    assert "사용자" in text_of(admin.get("/users"))
