"""`pacsnode rules`: the versions of the rules that were in force, what one said, and how two differ."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from node.cli import output, site
from node.cli.output import cell, clock_text, table
from node.clock import SystemClock
from node.config.models import Configuration
from node.config.rule_text import rule_text
from node.ledger import rule_versions
from node.ledger.database import Database
from node.ledger.rule_versions import Version
from rules.model import rule_set_digest

_STYLES = {"+": "green", "-": "red", "@": "bold"}


def rules(
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="A version: the beginning of its digest.")
    ] = None,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="A second version, to see what it changed.")
    ] = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """List the versions of the rules that were in force, write one of them, or show how two differ.

    Each decision names its version (`explain`, `study --explain`). A version is written as a file of rules: use it with
    `replay --rules`, or put it in force again.
    """
    configuration = site.known(config)
    ledger = site.open_ledger(configuration)
    with ledger.reading() as database:
        if version is None:
            _list(rule_versions.every(database), configuration, as_json)
        elif other is None:
            digest, content = rule_versions.named(database, version)
            if as_json:
                output.as_json({"digest": digest, "rules": json.loads(content)})
            else:
                typer.echo(_text(digest, content), nl=False)
        else:
            _differ(database, version, other, as_json)


def _text(digest: str, content: str) -> str:
    return f"# version {digest}\n{rule_text(json.loads(content))}"


def _list(versions: Sequence[Version], configuration: Configuration, as_json: bool) -> None:
    digest = rule_set_digest(configuration.rules)
    if as_json:
        plain: list[dict[str, Any]] = [asdict(each) for each in versions]
        output.as_json({"rule_set": digest, "versions": plain})
        return
    output.console().print(Group(*_parts(versions, digest, configuration)))


def _parts(versions: Sequence[Version], digest: str, configuration: Configuration) -> Iterator[RenderableType]:
    if not versions:
        yield cell("No rules have been in force yet.")
        return
    now = SystemClock().now()
    rows = []
    for number, each in enumerate(versions):
        current = number == 0 and each.digest == digest
        rows.append(
            (
                cell(each.digest[:8], "bold green" if current else ""),
                cell(clock_text(each.since, configuration.node.zone, now)),
                cell(each.rules),
                cell(_changes(each)),
                cell(each.by),
            )
        )
    yield table("Versions of the rules, newest first", ["=Version", "=Since", ">Rules", "What", "By"], rows)
    if versions[0].digest != digest:
        yield Text()
        yield cell(f"The configuration's own rules (version {digest[:8]}) are not those that were last in force.")


def _changes(version: Version) -> str:
    said = [("new", version.added), ("gone", version.removed), ("changed", version.changed)]
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in said if names) or "as before"


def _differ(database: Database, version: str, other: str, as_json: bool) -> None:
    """Unified diffs of the rules that came, went and changed, as they would be written."""
    (one, old), (two, new) = (rule_versions.named(database, each) for each in (version, other))
    before, after = ({rule["name"]: rule for rule in json.loads(content)} for content in (old, new))
    lines = [
        line
        for name in {**before, **after}
        for line in difflib.unified_diff(
            _lines(before.get(name)), _lines(after.get(name)), f"{name} {one[:8]}", f"{name} {two[:8]}", lineterm=""
        )
    ]
    if as_json:
        output.as_json({"digest": one, "other": two, "diff": "\n".join(lines)})
        return
    for line in lines or ["The two say the same."]:
        output.console().print(cell(line, _STYLES.get(line[:1], "")), soft_wrap=True)


def _lines(rule: Any) -> list[str]:
    return rule_text([rule]).splitlines()[1:] if rule else []
