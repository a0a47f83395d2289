"""Host names of destinations as the receivers last resolved them: a file, so that they are known at a start without
a name server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.clock import from_text, to_text
from node.store.durable import write_durably

FILE = "hosts.json"


@dataclass(frozen=True, slots=True)
class ResolvedHost:
    """What is known of one name."""

    addresses: tuple[str, ...] = ()
    """The last that there were; none where the name was never resolved."""
    failing_since: datetime | None = None
    """Since when it does not resolve; None where it does."""


class ResolvedHosts:
    """The file in one data folder. Each receiver writes it: all of them ask the same system."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    def read(self) -> dict[str, ResolvedHost]:
        """By name; empty where there is no file, or one that cannot be read."""
        try:
            said: Mapping[str, dict[str, object]] = json.loads(self._path.read_text())
            return {name: _resolved(each) for name, each in said.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write(self, known: Mapping[str, ResolvedHost]) -> None:
        """Keep what is known of all names. Raises OSError."""
        write_durably(self._path, json.dumps({name: _plain(each) for name, each in known.items()}).encode())


def _plain(known: ResolvedHost) -> dict[str, object]:
    since = to_text(known.failing_since) if known.failing_since else None
    return {"addresses": list(known.addresses), "failing_since": since}


def _resolved(said: Mapping[str, object]) -> ResolvedHost:
    addresses, since = said["addresses"], said["failing_since"]
    if not isinstance(addresses, list):
        raise TypeError("no addresses")
    return ResolvedHost(tuple(map(str, addresses)), from_text(str(since)) if since else None)
