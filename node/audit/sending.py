"""The stage that sends the audit trail to a syslog server, byte for byte what is in the files, in order.

It has a thread of its own, so that a server which hangs holds up nothing. How far it is, is a mark of the ledger; what
is not sent stays in the files until it is. A message can come twice: where a connection breaks before it is known that
the server has it. None is left out.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import structlog

from node.audit.syslog import SyslogConnection, SyslogMessage, framed
from node.audit.trail import PROGRAM, EntryKind, TrailEntry, entries_after, folder_of
from node.config.audit import SyslogServer
from node.config.models import Configuration
from node.ledger import alerts, audit_marks
from node.ledger.alert_kinds import AlertKind
from node.ledger.audit_marks import AuditMark
from node.stage import Node, NodeStage

log = structlog.get_logger(__name__)

NAME = "audit-syslog"
_AT_A_TIME = 100
_LOOK = 5.0
_PAUSE = 30.0
"""Seconds after which a server that does not take messages is tried again."""
_LONG = timedelta(minutes=10)
"""After this long without a message taken, a person has to know."""


class SyslogStage(NodeStage):
    """One thread calls `run_once`."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._node = node
        self._folder = folder_of(node.store.data)
        self._host = socket.gethostname()
        self._connection: SyslogConnection | None = None
        self._entries: Iterator[TrailEntry] | None = None
        """Where reading goes on."""
        self._waiting: list[TrailEntry] = []
        """Read, and not sent."""
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """The next batch goes to this server."""
        self._server: SyslogServer | None = configuration.audit.syslog
        self._connected_to: SyslogServer | None = None

    def run_once(self) -> float:
        """Send a batch; 0 while there is more."""
        database = self._node.ledger.database
        server, sent = self._server, audit_marks.get(database, AuditMark.SENT)
        written = audit_marks.get(database, AuditMark.WRITTEN).number
        if server is None or not audit_marks.is_set(database, AuditMark.SENT):
            return _LOOK
        batch = self._next(sent.number, written)
        if not batch:
            return _LOOK
        try:
            self._send(server, batch)
        except OSError as error:
            self._failed(error)
            return _PAUSE
        with self._node.ledger.transaction() as writing:
            if audit_marks.is_set(writing, AuditMark.SENT):  # else the configuration names no server any more
                audit_marks.put(writing, AuditMark.SENT, batch[-1].number, batch[-1].digest)
        self._waiting = []
        return 0.0

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _next(self, sent: int, written: int) -> list[TrailEntry]:
        """The next entries that the ledger knows of, after those that were sent."""
        if self._waiting and self._waiting[0].number > sent:
            return self._waiting
        if sent >= written:
            self._entries = None
            return []
        if self._entries is None:
            self._entries = entries_after(self._folder, sent)
        self._waiting = [each for each in islice(self._entries, _AT_A_TIME) if sent < each.number <= written]
        if len(self._waiting) < _AT_A_TIME:  # the end of the file as it was when it was read
            self._entries = None
        return self._waiting

    def _send(self, server: SyslogServer, batch: list[TrailEntry]) -> None:
        if self._connection is None or self._connected_to is not server:
            self.close()
            self._connection = SyslogConnection(server)
            self._connected_to = server
            log.info("audit.syslog-connected", host=server.host, port=server.port)
        messages = []
        for entry in batch:
            fields = entry.fields
            if fields.get("kind") == EntryKind.MESSAGE:
                message = SyslogMessage(fields["happened"], entry.number, fields["message"])
                messages.append(framed(message, self._host, PROGRAM))
        self._connection.send(messages)

    def _failed(self, error: OSError) -> None:
        """It is tried again; where that goes on for long, an alert."""
        self.close()
        self._entries, self._waiting = None, []
        why, now = str(error.strerror or error), self._node.clock.now()
        with self._node.ledger.transaction() as database:
            if not audit_marks.is_set(database, AuditMark.SENT):
                return
            mark = audit_marks.in_trouble(database, now, AuditMark.SENT, why)
            if (
                mark.since is not None
                and now - mark.since >= _LONG
                and not alerts.is_open(database, AlertKind.AUDIT_BEHIND, AuditMark.SENT)
            ):
                alerts.raised(database, now, AlertKind.AUDIT_BEHIND, AuditMark.SENT, reason=why)
        log.warning("audit.syslog-not-sent", reason=why)
