"""How a turn stands with its destination: what was answered, and whether it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from node.deliver.policy import TROUBLES, Answer
from node.errors import NodeError


@dataclass(frozen=True, slots=True)
class DestinationFailure:
    """Why a turn ended, where that is about the destination as a whole: what waits there is left as it is."""

    error: NodeError
    stores_nothing: bool = False
    """Associations are accepted."""


class Contact(Protocol):
    """What whoever sends tells of the destination, and asks; for one thread and one turn."""

    @property
    def is_probing(self) -> bool:
        """Whether this is the one try while the destination is known not to be reached."""
        ...

    def must_yield(self) -> bool:
        """Whether something more urgent is next, or nothing may be sent any more: asked between two objects."""
        ...

    @property
    def asks_in_vain(self) -> bool:
        """Whether this is the one try while the destination is known not to answer questions."""
        ...

    def question_unanswered(self, error: NodeError) -> None:
        """Several questions in a row were not answered, over associations that were accepted."""
        ...

    def question_answered(self) -> None:
        """A C-FIND, or an equal, was answered."""
        ...

    def object_answered(self, answer: Answer) -> None:
        """What became of an object that was handed over."""
        ...


def is_final(answer: Answer) -> bool:
    """Whether the destination did something with the object: it works."""
    return answer.code is not None and answer.reading not in TROUBLES
