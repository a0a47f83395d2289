"""What a user of the console is for the site."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """One of four."""

    VIEWER = "viewer"
    """Sees how the node is, and no patient."""
    READER = "reader"
    """A radiologist: what the AI said of one study, and a verdict on it."""
    ADMIN = "admin"
    """Runs the node."""
    AUDITOR = "auditor"
    """Sees how the node is and what was done, and changes nothing."""
