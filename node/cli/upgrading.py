"""`pacsnode upgrade`, and the way back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import output, site
from node.cli.output import cell
from node.desk.actor import who_types
from node.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from node.release.releases import Release, Releases
    from node.release.upgrading import UpgradeSite

ROOT = Path("/opt/pacsnode")
Root = Annotated[Path, typer.Option("--root", help="The folder that releases are installed below.", show_default=True)]
Unit = Annotated[
    str, typer.Option("--unit", help="The node's unit of systemd; not used where systemd does not run it.")
]
UNIT = "pacsnode.service"


def upgrade(
    to: Annotated[
        str | None, typer.Argument(metavar="RELEASE", help="A bundle, or the version of an installed release.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would change, and how long it takes.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go back from an upgrade that was cut short.")] = False,
    root: Root = ROOT,
    unit: Unit = UNIT,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Go over to another release with the node's ledger, and back by itself where that fails (exit code 1).

    The node stops once open associations have ended. The ledger is copied and migrated, the new release starts, and is
    checked. Where anything fails, the release before gets the ledger of before, and starts again. Nothing that was
    received meanwhile is lost.
    """
    from node.release import upgrading

    its = _site(config, root, unit, quiet=as_json)
    if resume:
        if to is not None or dry_run:
            raise UsageError("--resume goes alone: it goes back from what was cut short")
        done = upgrading.resume(its)
        _tell(asdict(done) if done else {}, "no upgrade was cut short" if done is None else "", as_json)
        return
    if to is None:
        raise UsageError("name a bundle, or the version of an installed release")
    release = _release(to, its.releases)
    if dry_run:
        _foretell(its, release, as_json)
        return
    _tell(asdict(upgrading.upgrade(its, release)), "", as_json)


def rollback(root: Root, unit: Unit, config: Path, *, as_json: bool) -> None:
    """Back to the release before the one in use."""
    from node.release import installing, upgrading

    its = _site(config, root, unit, quiet=as_json)
    _tell(asdict(upgrading.roll_back(its, installing.roll_back_to(its.releases))), "", as_json)


def _site(config: Path, root: Path, unit: str, *, quiet: bool) -> UpgradeSite:
    from node.release.node_control import NodeProcess, SystemdUnit
    from node.release.releases import Releases
    from node.release.upgrading import UpgradeSite

    data = site.known(config).node.data.absolute()
    if not data.is_dir():
        raise NotFoundError(f"{data}: no node has run on this data folder yet; pacsnode bundle install is all it needs")
    control = SystemdUnit(unit, data) if SystemdUnit.is_active(unit) else NodeProcess(data, config)
    return UpgradeSite(
        config.absolute(), data, Releases(root), control, str(who_types()), (lambda _: None) if quiet else _say
    )


def _release(name: str, releases: Releases) -> Release:
    """An installed one; a bundle is installed first, beside the release in use."""
    from node.release import installing

    if not Path(name).is_file():
        return releases.get(name)
    with releases.held():
        return installing.place(Path(name), releases)[0]


def _foretell(its: UpgradeSite, release: Release, as_json: bool) -> None:
    from node.release import foretelling
    from node.release.releases import CURRENT

    before = its.releases.linked(CURRENT)
    if before is None:
        raise NotFoundError(f"{its.releases.root}: no release is in use there")
    found = foretelling.foretell(its, before, release)
    _tell(asdict(found), "\n".join(foretelling.in_words(found)), as_json)


def _say(line: str) -> None:
    output.console().print(cell(line), soft_wrap=True)


def _say_nothing(_: str) -> None:
    """The steps, where the outcome is one JSON object."""


def _tell(value: dict[str, object], text: str, as_json: bool) -> None:
    if as_json:
        output.as_json(value)
    else:
        for line in text.splitlines():
            _say(line)
