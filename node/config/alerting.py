"""What the node has to say of itself, and to whom: the sections `alerts` and `heartbeat`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from node.config.people import URL
from node.config.sections import Party, Section, SitePath, TakenUpBy
from node.config.values import Duration
from rules.timing import Window


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


People = Annotated[tuple[str, ...], BeforeValidator(_one_or_many, json_schema_input_type=str | list[str])]


class Alerts(Section):
    """Who is notified of alerts: of the beginning, now and again while one lasts, and of the end."""

    model_config = ConfigDict(serialize_by_alias=True)
    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    to: People = ()
    """Names under `people`; nobody is notified where there is none."""
    severity: Literal["warning", "critical"] = "warning"
    """The least severe alerts that are sent."""
    lasting: Duration = Field(default=timedelta(minutes=1), alias="for")
    """For how long a condition has to hold before it is sent; a critical one is sent at once. It is over when it has
    been gone for twice as long."""
    repeat: Duration = timedelta(hours=4)
    """How often an alert that nobody has acknowledged is sent again while it lasts."""
    per_hour: Annotated[int, Field(ge=4, le=1000)] = 20
    """Maximum messages an hour, a quarter of them for critical alerts only; one more says how many others there are."""
    maintenance: Annotated[tuple[Window, ...], TakenUpBy.only(Party.NODE)] = ()
    """When only critical alerts are sent; of what else began meanwhile, what still holds is sent at the end."""

    def is_quiet(self, now: datetime) -> bool:
        """Whether it is in a maintenance window; `now` is in the time zone of the site."""
        return _is_within(self.maintenance, now)


def _is_within(windows: Iterable[Window], now: datetime) -> bool:
    return any(opens <= now < closes for window in windows for opens, closes in window.around(now, 1))


class Heartbeat(Section):
    """A sign of life for a watch outside of this machine: as long as every stage turns, and not otherwise."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    url: URL | None = None
    """Asked by HTTP GET each time."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign its certificate, where the system's do not."""
    timeout: Duration = timedelta(seconds=10)
    """How long it may take to answer."""
    file: SitePath | None = None
    """Written each time, with the moment."""
    every: Duration = timedelta(minutes=5)
    """How often."""

    @model_validator(mode="after")
    def _somewhere(self) -> Heartbeat:
        if self.url is None and self.file is None:
            raise ValueError("a heartbeat needs url or file, or nobody would notice it")
        return self
