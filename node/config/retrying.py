"""How often something is tried again that another system did not take."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from node.config.sections import Party, Section
from node.config.values import Duration


class Retry(Section):
    """Exponential back-off; persisted, so a restart does not start over."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})

    first: Duration = timedelta(seconds=10)
    """The pause after the first attempt that failed."""
    factor: Annotated[float, Field(ge=1.0, le=10.0)] = 2.0
    """Factor by which each further pause is longer."""
    longest: Duration = timedelta(minutes=15)
    """No pause is longer."""
    give_up_after: Duration = timedelta(days=7)
    """After this it is a dead letter: kept, shown in `status`, sent again only by `retry`."""

    def pause(self, age: timedelta) -> timedelta:
        """How long to wait before the next try of something that has been waiting for `age`."""
        return min(self.longest, max(self.first, age * (self.factor - 1.0)))
