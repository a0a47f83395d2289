"""What is done with images that a plugin was not validated on."""

from __future__ import annotations

from typing import ClassVar, Literal

from node.config.sections import Party, Section


class EnvelopeUse(Section):
    """What is done with images outside of what the plugin's [envelope] states."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    outside: Literal["not_applicable", "note"] = "not_applicable"
    """not_applicable: the plugin does not run on them, and the report says why. note: it runs, and the report has a
    sentence for each limit."""
    unknown: Literal["not_applicable", "note"] = "note"
    """The same for images that do not state an attribute of the envelope."""
