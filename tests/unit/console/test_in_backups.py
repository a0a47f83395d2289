"""A backup takes the console's users along, and a restore brings them back."""

from __future__ import annotations

from pathlib import Path

from node.accounts import sessions, users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.backup.making import BackupRun
from node.backup.restoring import restore
from node.clock import SystemClock
from tests.support.console import PASSWORD
from tests.support.sites.console_site import ConsoleSite


def test_users_come_back_and_sessions_do_not(tmp_path: Path) -> None:
    """After a restore everybody logs in again, with the password as before."""
    (tmp_path / "site").mkdir()
    site = ConsoleSite(tmp_path / "site")
    visitor = site.visitor()
    visitor.log_in(Role.ADMIN, "kim")
    token = sessions.begin(visitor.accounts, "kim", SystemClock().now().timestamp(), "10.0.0.1")
    BackupRun(site.data, tmp_path / "backups", SystemClock(), by="os:test").make(None)
    restore(tmp_path / "backups", tmp_path / "restored", SystemClock(), by="os:test")
    accounts = Accounts(tmp_path / "restored")
    assert users.password_is_right(accounts, "kim", PASSWORD)
    assert [each.name for each in users.every(accounts)] == ["kim"]
    assert accounts.query("SELECT * FROM sessions") == []
    assert visitor.accounts.query("SELECT count(*) FROM sessions WHERE user='kim'") == [(2,)], token
