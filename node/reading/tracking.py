"""Tracking identifiers that name the tool of a viewer beside the lesion (`node.results.report.hand_over`)."""

from __future__ import annotations

import re

_TOOL_NAMED = re.compile(r"Cornerstone3DTools@[^:]*:\w+:(.+)")


def lesion_of(identifier: str) -> str:
    """The lesion that a tracking identifier names, without the tool; an identifier without a lesion stays as it is."""
    named = _TOOL_NAMED.fullmatch(identifier)
    return named[1] if named else identifier
