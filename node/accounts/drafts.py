"""Drafts of the files of the configuration: what a user has typed and not put live, kept while it is typed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.accounts import users
from node.accounts.database import Accounts
from node.clock import from_text, to_text


@dataclass(frozen=True, slots=True)
class FileDraft:
    """What a user has made of a file."""

    user: str
    file: str
    """As the console calls it."""
    base: str
    """SHA-256 of what the file said when the user began."""
    text: str
    at: datetime


def keep(accounts: Accounts, draft: FileDraft) -> bool:
    """Keep it instead of the user's last one of this file; False for a user whom only the site's proxy knows."""
    if users.get(accounts, draft.user) is None:
        return False
    accounts.query(
        "INSERT OR REPLACE INTO drafts (user, file, base, text, at) VALUES (?, ?, ?, ?, ?)",
        [draft.user.casefold(), draft.file, draft.base, draft.text, to_text(draft.at)],
    )
    return True


def get(accounts: Accounts, user: str, file: str) -> FileDraft | None:
    """The user's draft of a file; None where there is none."""
    rows = accounts.query(f"SELECT {_COLUMNS} FROM drafts WHERE user=? AND file=?", [user.casefold(), file])  # noqa: S608 - our own text
    return _of_row(rows[0]) if rows else None


def every(accounts: Accounts) -> list[FileDraft]:
    """All drafts of all users, the newest first."""
    return [_of_row(row) for row in accounts.query(f"SELECT {_COLUMNS} FROM drafts ORDER BY at DESC")]  # noqa: S608 - our own text


def forget(accounts: Accounts, user: str, file: str) -> None:
    """It is live, or not wanted any more."""
    accounts.query("DELETE FROM drafts WHERE user=? AND file=?", [user.casefold(), file])


_COLUMNS = "user, file, base, text, at"


def _of_row(row: tuple[str, str, str, str, str]) -> FileDraft:
    user, file, base, text, at = row
    return FileDraft(user, file, base, text, from_text(at))
