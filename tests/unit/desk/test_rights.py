"""Who may do what: each role and each right, and that desk's actions ask."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import node
from node.accounts.roles import Role
from node.desk.actor import Actor, ActorKind
from node.desk.rights import NotAllowedError, Right, may, require, rights_of

TABLE = {
    Role.VIEWER: {Right.SEE_NODE},
    Role.READER: {Right.SEE_PATIENT, Right.READ_RESULTS, Right.ASSESS},
    Role.ADMIN: {*Right} - {Right.ASSESS},
    Role.AUDITOR: {Right.SEE_NODE, Right.SEE_AUDIT},
}
"""As docs/console.md says it."""
CHANGES = "ledger.transaction()"
NOBODY_ACTS = {"logins", "viewing"}
"""Modules that record what somebody did anyway."""


@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_its_rights(role: Role) -> None:
    """No more and no fewer than docs/console.md says; a login of the machine has all, a user without a role none."""
    somebody = Actor(ActorKind.USER, "somebody", role)
    assert rights_of(role) == TABLE[role]
    for right in Right:
        assert may(somebody, right) is (right in TABLE[role])
        assert may(Actor(ActorKind.OS, "root"), right)
        assert not may(Actor(ActorKind.USER, "nobody"), right)


def test_a_refusal_says_what_is_lacking() -> None:
    """Who, in which role, may not do what."""
    with pytest.raises(NotAllowedError, match=r"anna \(viewer\) may not manage users"):
        require(Actor(ActorKind.USER, "anna", Role.VIEWER), Right.MANAGE_USERS)


def test_each_action_of_desk_asks_for_a_right() -> None:
    """A public function that takes an actor and writes to the ledger requires a right, before it looks at anything."""
    unasked = []
    for path in sorted((Path(node.__file__).parent / "desk").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        for function in ast.parse(source).body:
            if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                text = ast.get_source_segment(source, function) or ""
                takes = "Actor" in [ast.unparse(each.annotation) for each in _all(function) if each.annotation]
                if takes and CHANGES in text and "require(" not in text and path.stem not in NOBODY_ACTS:
                    unasked.append(f"{path.stem}.{function.name}")
    assert unasked == []


def _all(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.args, *function.args.kwonlyargs]
