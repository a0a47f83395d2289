"""Does it reach them? A test message to somebody whom rules may tell."""

from __future__ import annotations

import uuid
from pathlib import Path

from node.config.problems import closest
from node.desk import site
from node.errors import NodeError, UsageError
from node.notify import channels, message


def send(config: Path, person: str) -> dict[str, str | None]:
    """Send it at once by every channel of the person; by channel, what went wrong or None.

    Raises UsageError where the configuration has nobody of this name, and ConfigurationError.
    """
    configuration = site.load(config)
    known = configuration.people
    if person not in known:
        meant = closest(person, known)
        hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known) or 'nobody'}"
        raise UsageError(f'the configuration has nobody called "{person}" under people; {hint}')
    trial = message.trial(str(uuid.uuid4()), configuration.node.ae_title)
    found: dict[str, str | None] = {}
    for name, send_by in channels.of(known[person], configuration).items():
        try:
            send_by(trial)
            found[name] = None
        except NodeError as error:
            found[name] = str(error)
    return found
