"""What the site lets the node delete, and when: the section `retention`.

Nothing is deleted of what it does not name. So a site that says nothing keeps everything, as it did before.
"""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from node.config.sections import Party, Section
from node.config.values import Duration, Size, duration_text
from rules.timing import TimeOfDay

_SHORTEST = timedelta(hours=1)
SpaceClass = Literal["work", "unmatched", "fetched", "images", "results"]
"""Classes of files: those that can go before their time where space is short."""


def _check_age(value: timedelta) -> timedelta:
    if value < _SHORTEST:
        raise ValueError(f"{duration_text(value)} is too short: at least 1h, so that nobody meant another unit")
    return value


Age = Annotated[Duration, AfterValidator(_check_age)]


class Retention(Section):
    """How long what is kept; a class that is absent is kept for ever.

    What is not delivered, not committed, held, waited for or pinned stays, however old it is.
    """

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    unmatched: Age | None = None
    """Images of studies that no rule wanted, after the last one arrived."""
    images: Age | None = None
    """Images of studies that a rule wanted, after the last one arrived."""
    fetched: Age | None = None
    """Images of earlier studies that the node fetched itself, after the last one arrived."""
    results: Age | None = None
    """A plugin's answer, its log and the objects made from it, after the job ended."""
    work: Age | None = None
    """What crashes left in `work/`, `outgoing/` and `results/`."""
    facts: Age | None = None
    """What rules saw of studies whose images are gone, and decisions that led to nothing: `replay` needs them."""
    events: Age | None = None
    """History: events, closed alerts, notifications that were sent, refused callers."""
    delivered_objects: Age | None = None
    """Rows about what was sent of results: UIDs, destination, when; with the jobs that they were of."""
    below: Annotated[Size, Field(gt=0)] | None = None
    """Where less than this is free, the classes of `first` go before their time until it is; absent: never."""
    first: tuple[SpaceClass, ...] = ("work", "unmatched", "fetched", "images")
    """Which classes of files go where space is short, in this order; of each the oldest first."""
    at: TimeOfDay = time(3, 15)
    """Time of day, of the site, at which what is old enough begins to go."""
    until: TimeOfDay | None = None
    """Time of day at which it stops for the day; absent: when all is done. Space that is short waits for neither."""

    @model_validator(mode="after")
    def _each_once(self) -> Retention:
        if len(set(self.first)) < len(self.first):
            raise ValueError("first: a class is named twice")
        if self.until is not None and self.until == self.at:
            raise ValueError("until: the same time as at leaves no time; leave it out to go on until all is done")
        return self

    @property
    def deletes(self) -> bool:
        """Whether anything is ever deleted."""
        return self.below is not None or any(getattr(self, name) is not None for name in AGES)


AGES = ("work", "unmatched", "fetched", "images", "results", "facts", "delivered_objects", "events")
"""The keys that are ages, in the order in which their classes go: what refers to other rows goes first."""
