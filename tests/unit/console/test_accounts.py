"""Users and their sessions, as the file of accounts keeps them."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.accounts import passwords, sessions, users
from node.accounts.database import FILE, Accounts
from node.accounts.roles import Role
from node.errors import LedgerError, NotFoundError, PermanentError, UsageError
from tests.support.console import PASSWORD, cheap_hashes

HASHER = passwords._hasher
"""As the console has it, before tests make it cheap."""
AT = datetime(2026, 3, 2, tzinfo=UTC)
IDLE = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    """What passwords cost is looked at elsewhere."""
    with cheap_hashes():
        yield


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """With an admin, kim."""
    made = Accounts(tmp_path)
    users.add(made, "Kim", Role.ADMIN, AT, "os:test")
    users.choose_password(made, "kim", PASSWORD)
    return made


def test_the_file_is_its_owners_alone_and_has_no_password(accounts: Accounts) -> None:
    """Nobody else can read it, and what is in it logs nobody in."""
    token = sessions.begin(accounts, "kim", 0.0, "10.0.0.1")
    assert stat.S_IMODE(os.stat(accounts.path).st_mode) == 0o600
    content = b"".join(each.read_bytes() for each in accounts.path.parent.glob(f"{FILE}*"))
    assert PASSWORD.encode() not in content
    assert token.encode() not in content
    assert b"$argon2id$" in content


def test_passwords_are_hashed_as_rfc_9106_wants() -> None:
    """Argon2id, with 64 MiB and three passes at least: the second of the RFC's recommendations."""
    real = HASHER()
    assert (real.type.name, real.memory_cost >= 64 * 1024, real.time_cost >= 3) == ("ID", True, True)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 12"),
        ("x" * 300, "at most 256"),
        ("aaaaaaaaaaaaaa", "too easy"),
        ("kimkimkim-1234", "too easy"),
        (PASSWORD, "choose another one"),
    ],
)
def test_a_password_that_may_not_be_chosen(accounts: Accounts, password: str, why: str) -> None:
    """Too short, too long, too easy, with the name, or the one before: said why, and nothing is changed."""
    with pytest.raises(UsageError, match=why):
        users.choose_password(accounts, "kim", password)
    assert users.password_is_right(accounts, "kim", PASSWORD)


def test_one_time_passwords(accounts: Accounts) -> None:
    """Each is another one, is to be changed, and ends the user's sessions."""
    token = sessions.begin(accounts, "kim", 0.0, "10.0.0.1")
    first, second = users.reset_password(accounts, "kim"), users.reset_password(accounts, "kim")
    assert first != second
    assert users.password_is_right(accounts, "KIM", second)
    assert not users.password_is_right(accounts, "kim", first)
    assert sessions.find(accounts, token, 1.0, IDLE) is None
    found = users.get(accounts, "kim")
    assert found is not None
    assert found.must_change


def test_a_session_ends_when_it_is_idle_and_after_twelve_hours(accounts: Accounts) -> None:
    """Idle for a quarter of an hour, or old, however busy: it is not found any more, and is forgotten."""
    token = sessions.begin(accounts, "kim", 0.0, "10.0.0.1")
    found = sessions.find(accounts, token, 899.0, IDLE)
    assert found is not None
    for moment in range(800, 12 * 3600, 800):
        sessions.seen(accounts, found.digest, float(moment))
        assert sessions.find(accounts, token, moment + 1.0, IDLE) is not None
    assert sessions.find(accounts, token, 12 * 3600 + 1.0, IDLE) is None
    other = sessions.begin(accounts, "kim", 0.0, "10.0.0.1")
    assert sessions.find(accounts, other, 901.0, IDLE) is None
    assert accounts.query("SELECT * FROM sessions") == []


def test_the_last_admin_stays(accounts: Accounts) -> None:
    """Whatever is done to the only admin who may log in is refused, until there is another one."""
    users.add(accounts, "away", Role.ADMIN, AT, "os:test")
    users.change(accounts, "away", disabled=True)
    for act in (
        lambda: users.remove(accounts, "kim"),
        lambda: users.change(accounts, "kim", disabled=True),
        lambda: users.change(accounts, "kim", role=Role.VIEWER),
    ):
        with pytest.raises(PermanentError, match="last admin"):
            act()
    users.change(accounts, "away", disabled=False)
    users.remove(accounts, "kim")
    assert [each.name for each in users.every(accounts)] == ["away"]


def test_who_is_not_there(accounts: Accounts) -> None:
    """A user who is unknown, disabled or without a password logs in with none."""
    users.add(accounts, "sso", Role.READER, AT, "os:test", password=False)
    users.add(accounts, "off", Role.READER, AT, "os:test")
    users.choose_password(accounts, "off", PASSWORD)
    users.change(accounts, "off", disabled=True)
    for name in ("nobody", "sso", "off"):
        assert not users.password_is_right(accounts, name, PASSWORD)
        assert not users.password_is_right(accounts, name, "")
    with pytest.raises(NotFoundError):
        users.remove(accounts, "nobody")


def test_a_copy_has_users_and_no_session(accounts: Accounts, tmp_path: Path) -> None:
    """What a backup takes opens as it is, with passwords, and logs nobody in who was logged in before."""
    token = sessions.begin(accounts, "kim", 0.0, "10.0.0.1")
    (tmp_path / "copy").mkdir()
    accounts.copy_to(tmp_path / "copy" / FILE)
    copy = Accounts(tmp_path / "copy")
    assert users.password_is_right(copy, "kim", PASSWORD)
    assert sessions.find(copy, token, 1.0, IDLE) is None
    assert sessions.find(accounts, token, 1.0, IDLE) is not None


def test_a_file_of_a_newer_release_is_left_alone(accounts: Accounts) -> None:
    """It is refused with its name, and not changed."""
    accounts.close()
    with sqlite3.connect(accounts.path) as changed:
        changed.execute("PRAGMA user_version=99")
    with pytest.raises(LedgerError, match="newer pacsnode"):
        Accounts(accounts.path.parent)
