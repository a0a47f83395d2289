"""The pages of the handbook, one for each kind of alert: files of the package, so that a server has them offline."""

from __future__ import annotations

from importlib.resources import files

from node.config.problems import closest
from node.errors import UsageError
from node.ledger.alert_kinds import AlertKind


def page_of(kind: str) -> str:
    """The page in Markdown; UsageError where no alert is of this kind, with the kind that may be meant."""
    known = {each.value for each in AlertKind}
    if kind not in known:
        meant = closest(kind, known)
        hint = f'; did you mean "{meant}"?' if meant else "; pacsnode alerts shows the kinds of those that are open"
        raise UsageError(f'there is no kind of alert "{kind}"{hint}')
    return files("node").joinpath("handbook", f"{kind}.md").read_text(encoding="utf-8")
