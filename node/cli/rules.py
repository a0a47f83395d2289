"""`pacsnode rules`: the versions of the rules that were in force, what one said, and how two differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from node.cli import output, site
from node.cli.output import cell, table
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import rules as desk_rules
from node.desk.rows import Version
from node.desk.site import open_ledger
from node.desk.words import clock_text
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
    ledger = open_ledger(configuration)
    if version is None:
        _list(desk_rules.versions(ledger), configuration, as_json)
    elif other is None:
        _write(desk_rules.kept(ledger, version), as_json)
    else:
        _differ(desk_rules.difference(ledger, version, other), as_json)


def _write(kept: desk_rules.RuleSetVersion, as_json: bool) -> None:
    if as_json:
        output.as_json({"digest": kept.digest, "rules": kept.rules})
    else:
        typer.echo(kept.text(), nl=False)


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


def _differ(found: desk_rules.VersionDifference, as_json: bool) -> None:
    if as_json:
        output.as_json({"digest": found.one, "other": found.other, "diff": "\n".join(found.lines)})
        return
    for line in found.lines or ["The two say the same."]:
        output.console().print(cell(line, _STYLES.get(line[:1], "")), soft_wrap=True)
