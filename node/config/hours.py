"""The hours in which a destination gets what is sent to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import model_validator

from node.config.sections import Party, Section
from rules.timing import Hours, Window, opening


class DestinationHours(Section):
    """When something is sent there, in the site's time zone; the windows are those of `hours` in rules."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})

    open: tuple[Window, ...] = ()
    """Any time where none is named."""
    closed: tuple[Window, ...] = ()
    """Windows in which nothing is sent: they come before `open`."""
    urgent: Literal["at once", "wait"] = "at once"
    """at once: what is urgent is sent outside of the hours, too, with the images that it waits for."""

    @model_validator(mode="after")
    def _ever(self) -> DestinationHours:
        Hours(open=self.open, closed=self.closed)  # says what is wrong with them, as it says of a rule
        return self

    def opens_at(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When they begin; None where they are open now, the end of time where they never begin again.

        `zone` is the site's: windows over midnight, and where the clocks change, are those of the clock on its wall.
        """
        local = now.astimezone(zone)
        starts = opening(Hours(open=self.open, closed=self.closed), local)
        if starts is None:
            return datetime.max.replace(tzinfo=UTC)
        return starts.astimezone(UTC) if starts.astimezone(UTC) > now else None
