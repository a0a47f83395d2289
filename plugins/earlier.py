"""What a step of a rule gets of the steps before it: findings and segmentations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from plugins.images import ContractError, NotApplicableError
from plugins.maps import Segmentation
from plugins.result import Finding

T = TypeVar("T")


@dataclass(frozen=True)
class EarlierResult:
    """The result of an earlier step, as far as a later one gets it."""

    findings: tuple[Finding, ...] = ()
    segmentation: Segmentation | None = None


class EarlierParts(dict[str, T]):
    """Parts of earlier results, each under the name that the rule gives it.

    A name that the rule does not give is a mistake (`ContractError`). One whose result has no such part is an answer:
    `NotApplicableError`, which ends the job as not applicable unless the plugin asks with `in` or `get` first.
    """

    def __init__(self, parts: Mapping[str, T], *, named: tuple[str, ...] = (), kind: str = "finding") -> None:
        super().__init__(parts)
        self._named = named
        self._kind = kind

    def __missing__(self, name: str) -> T:
        if name in self._named:
            raise NotApplicableError(f"The earlier step that is to give {name!r} has returned no {self._kind}.")
        there = f"; it gives {', '.join(self._named)}" if self._named else ""
        raise ContractError(f"Study: the rule gives no earlier result the name {name!r}{there}")
