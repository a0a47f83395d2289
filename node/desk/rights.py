"""Who may do what: the one place that says so, for the command, the console and whatever comes.

A login of this machine that can read the data folder may do everything: it could change the files anyway. A user of
the console may do what the role says.
"""

from __future__ import annotations

from enum import StrEnum

from node.accounts.roles import Role
from node.desk.actor import Actor, ActorKind
from node.errors import PermanentError


class NotAllowedError(PermanentError):
    """The actor's role does not include it."""


class Right(StrEnum):
    """What somebody may be allowed, each in words."""

    SEE_NODE = "see how the node and its studies are"
    SEE_PATIENT = "see which patient a study is of"
    ACT = "act on studies, jobs, deliveries and alerts"
    CHANGE_RULES = "change the configuration"
    MANAGE_USERS = "manage users"
    SEE_AUDIT = "see who did what"
    READ_RESULTS = "read results of one study"
    ASSESS = "give a verdict on a result"
    UPLOAD = "upload images"


_SEES = frozenset({Right.SEE_NODE})
_OF_ROLE = {
    Role.VIEWER: _SEES,
    Role.READER: frozenset({Right.READ_RESULTS, Right.ASSESS, Right.SEE_PATIENT}),
    Role.ADMIN: frozenset(Right) - {Right.ASSESS},
    Role.AUDITOR: _SEES | {Right.SEE_AUDIT},
}


def rights_of(role: Role) -> frozenset[Right]:
    """What a role may do."""
    return _OF_ROLE[role]


def may(actor: Actor, right: Right) -> bool:
    """Whether this actor may."""
    return actor.kind is ActorKind.OS or (actor.role is not None and right in _OF_ROLE[actor.role])


def require(actor: Actor, right: Right) -> None:
    """NotAllowedError where the actor may not."""
    if not may(actor, right):
        raise NotAllowedError(f"{actor.name} ({actor.role}) may not {right}")
