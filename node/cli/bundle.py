"""`pacsnode bundle`: releases for sites without internet."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli import output, site, upgrading
from node.cli.output import cell

bundle = typer.Typer(no_args_is_help=True, help="Bring pacsnode to machines without internet: one signed file.")

PublicKey = Annotated[
    str | None,
    typer.Option("--public-key", metavar="KEY", help="The maker's public key of minisign: its line, or a file."),
]
BundleFile = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle; its signature is FILE.minisig.")]


_PLATFORM = f"manylinux_2_28_{os.uname().machine}"
Source = Annotated[Path, typer.Option("--source", help="A checkout of pacsnode.", show_default=True)]
Lock = Annotated[Path | None, typer.Option("--lock", help="The lock file; absent: requirements.lock of the checkout.")]
Python = Annotated[str, typer.Option("--python", metavar="VERSION", help="Python of the machines it is for.")]
Platform = Annotated[
    str,
    typer.Option("--platform", metavar="TAG", help="The newest glibc that those machines have.", show_default=True),
]
Wheels = Annotated[
    Path | None, typer.Option("--wheels", metavar="DIR", help="A folder of wheels to use, without any network.")
]
OwnWheel = Annotated[
    Path | None, typer.Option("--wheel", metavar="FILE", help="pacsnode's own wheel; absent: built here.")
]
Image = Annotated[
    Path | None, typer.Option("--image", metavar="FILE", help="The archive of a container image to take along.")
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="DIR", help="A plugin's folder to take along; repeatable.")
]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The secret key of minisign to sign with.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="The key's password; absent: asked for.")
]


@bundle.command()
def create(
    file: BundleFile,
    source: Source = Path(),
    lock: Lock = None,
    python: Python = f"{sys.version_info[0]}.{sys.version_info[1]}",
    platform: Platform = _PLATFORM,
    wheels: Wheels = None,
    wheel: OwnWheel = None,
    image: Image = None,
    plugin: Plugins = None,
    key: Key = None,
    password_file: PasswordFile = None,
    as_json: site.AsJson = False,
) -> None:
    """Make a bundle: every wheel of the lock file, pacsnode itself, schemas, documentation and an SBOM, in one file.

    Needs internet or --wheels, and pacsnode[bundle]. Equal inputs give equal bytes. Without --key it is not signed, and
    nobody can install it before `minisign -S` has signed it.
    """
    from node.release import wheels as tools

    tools.check_tools()
    from node.release import creating

    target = tools.WheelTarget.parse(python, platform)
    chosen = lock or source / "requirements.lock"
    inputs = creating.BundleInputs(source, chosen, target, wheels, wheel, image, tuple(plugin or ()))
    made = creating.create(inputs, file)
    if key is not None:
        from node.release import signatures

        signatures.sign(file, key, _password(password_file), f"pacsnode {made.version} for {python} {platform}")
    value = {"file": str(file), "version": made.version, "members": len(made.members), "signed": key is not None}
    signed = f"; its signature is in {file}.minisig" if key else "; NOT signed: minisign -S signs it"
    size = file.stat().st_size >> 20
    _tell(
        f"{file}: pacsnode {made.version} for Python {python}, {len(made.members)} files, {size} MiB{signed}",
        value,
        as_json,
    )


def _password(file: Path | None) -> str | None:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\n")
    return typer.prompt("Password of the key", hide_input=True, default="") if sys.stdin.isatty() else None


@bundle.command()
def verify(
    file: BundleFile, public_key: PublicKey = None, root: upgrading.Root = upgrading.ROOT, as_json: site.AsJson = False
) -> None:
    """Check a bundle: its signature, then every file in it. Nothing is unpacked. Exit code 1: it may not be used.

    Without --public-key, the key that is pinned below --root.
    """
    from node.release import signatures, verifying
    from node.release.releases import Releases

    key = Releases(root).pinned_key(public_key)
    found = verifying.verify(file, key)
    about = (
        f"{file}: pacsnode {found.version} for Python {found.python} on {found.platform}, {len(found.members)} files"
    )
    value = {
        "version": found.version,
        "python": found.python,
        "platform": found.platform,
        "members": len(found.members),
    }
    _tell(f"{about}, as the key {signatures.key_id(key)} signed it", value, as_json)


@bundle.command()
def install(
    file: BundleFile, public_key: PublicKey = None, root: upgrading.Root = upgrading.ROOT, as_json: site.AsJson = False
) -> None:
    """Install a bundle below --root, without any network, and make it the release in use. As root.

    The first installation needs --public-key, and pins it. Where anything fails, nothing changes. If a node runs on
    another release there, that one stays in use: `pacsnode upgrade` goes over with the node's ledger.
    """
    from node.release import installing
    from node.release.releases import Releases

    done = installing.install(file, Releases(root), public_key)
    version, folder = done.release.version, done.release.folder
    text = f"release {version} {'was already' if done.was_there else 'is'} installed in {folder}"
    if done.in_use:
        text += f", and in use: {root / 'current' / 'venv' / 'bin' / 'pacsnode'}"
    else:
        text += f"\na node runs on another release (process {done.node}): `pacsnode upgrade {version}` goes over to it"
    _tell(
        text, {"version": version, "folder": str(folder), "in_use": done.in_use, "was_there": done.was_there}, as_json
    )


def _tell(text: str, value: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.as_json(value)
        return
    for line in text.splitlines():
        output.console().print(cell(line), soft_wrap=True)


@bundle.command()
def rollback(
    root: upgrading.Root = upgrading.ROOT,
    unit: upgrading.Unit = upgrading.UNIT,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Go back to the release before the one in use, with a ledger that it can read.

    A ledger whose schema that release knows stays. Otherwise it gets the ledger from before the upgrade: what was
    decided since is not in it, and images received since are indexed again, with their studies held.
    """
    upgrading.rollback(root, unit, config, as_json=as_json)
