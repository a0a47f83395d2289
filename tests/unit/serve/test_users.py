"""`pacsnode install --users-only`: makes what is missing, once; changes nothing that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import UsageError
from node.serve import users
from tests.support import other_users
from tests.support.other_users import ROOT

TWICE = "from node.cli import main\ntry: main(['install', '--users-only'])\nfinally: print('--', flush=True)\n"


def test_the_users_are_made_once(tmp_path: Path) -> None:
    """In a copy of /etc: two users, and the right of the one to run plugins as the other; again it finds them."""
    if shutil.which("useradd") is None or not Path("/etc/subuid").exists():
        pytest.skip("useradd, or /etc/subuid, is not there")
    script = "sed -i /^pacsnode/d /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid /etc/subgid"
    python = f'"{sys.executable}" -c "{TWICE}"'
    command = other_users.in_private_etc(
        tmp_path, script, "sh", "-c", f"{python}; {python}; cat /etc/subuid; getent passwd"
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    first, again, after = done.stdout.split("--\n")
    entries = dict(line.split(":", 1) for line in after.splitlines() if line.startswith("pacsnode-") or ":x:" in line)
    uid = entries["pacsnode-plugin"].split(":")[1]
    assert f"made user pacsnode-plugin ({uid})" in first, done.stderr
    assert f"added to /etc/subuid: pacsnode may use {uid}" in first
    assert f"pacsnode:{uid}:1" in after
    assert entries["pacsnode-plugin"].endswith("/nologin")
    assert "made" not in again
    assert "added" not in again
    assert again.count("is there (") == 2


def test_only_root_makes_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="sudo pacsnode install --users-only"):
        list(users.make())
