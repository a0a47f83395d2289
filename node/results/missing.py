"""What of a set could not be written, in the words that its report and its pages have for it."""

from __future__ import annotations

from node.results.context import Context


def missing_texts(context: Context) -> list[str]:
    """A sentence for each kind of object that is missing, in the reader's language; the reason is for the admin."""
    texts = context.texts
    kinds = {part.kind for part in context.missing}
    if "sc" in kinds:
        kinds.discard("picture")  # which is on the pages
    return [
        texts.missing[kind] if context.lacks(kind) else texts.partly_missing[kind]
        for kind in texts.missing
        if kind in kinds
    ]
