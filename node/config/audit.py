"""The section `audit`: for how long the audit trail is kept, and which syslog server gets it, too.

The trail itself is always written: nothing depends on it, and who looks for it later cannot write it then.
"""

from __future__ import annotations

from typing import ClassVar

from node.config.destinations import ClientTLS
from node.config.retention import Age
from node.config.sections import Party, Section
from node.config.values import Host, Port


class SyslogServer(Section):
    """An audit repository that takes syslog over TLS (RFC 5425)."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE, Party.PEERS})

    host: Host
    """Its name or address."""
    port: Port = 6514
    """Its port."""
    tls: ClientTLS
    """TLS to it; its name and certificate are verified."""


class AuditSettings(Section):
    """The audit trail (PS3.15 A.5)."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    keep: Age | None = None
    """For how long its files are kept; absent: for ever."""
    syslog: SyslogServer | None = None
    """Who gets each message, too; absent: nobody."""
