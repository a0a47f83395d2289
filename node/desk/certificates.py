"""What of TLS has ended, or soon will: our certificates, and the lists of those that others revoked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from node.config.models import Configuration
from node.config.sections import paths_by_key
from node.dimse import certificates, revocation

_REMINDERS = {"certificate": certificates.reminder, "revoked": revocation.reminder}
"""By the key that names a file."""


def reminders(configuration: Configuration, now: datetime) -> Iterator[tuple[str, str, str]]:
    """The YAML path of each, severity and words; none of files that whoever asks may not read."""
    for path, file in paths_by_key(configuration):
        remind = _REMINDERS.get(path[-1])
        if remind is not None and (found := remind(file, now)):
            yield ".".join(path), *found
