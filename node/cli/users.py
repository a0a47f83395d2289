"""`pacsnode users`: who may use the console."""

from __future__ import annotations

from typing import Annotated

import typer

from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.accounts.users import User
from node.cli import output, site
from node.cli.output import cell, table
from node.clock import SystemClock
from node.desk import users as desk
from node.desk.actor import who_types
from node.desk.site import open_ledger
from node.desk.users import UserDesk
from node.errors import NotFoundError

users = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Users of the console."
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What the user may do.")]


@users.command("list")
def list_(config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """List the users of the console with their roles."""
    found = desk.listed(Accounts(site.known(config).node.data), who_types())
    if as_json:
        output.as_json({"users": [_plain(each) for each in found]})
    elif not found:
        output.console().print("There is no user yet: pacsnode users add NAME --role admin")
    else:
        rows = [[cell(each.name), cell(each.role), cell(desk.state_of(each)), cell(each.created_by)] for each in found]
        output.console().print(table("Users of the console", ["=Name", "=Role", "State", "=Added by"], rows))


@users.command("add")
def add(
    name: Name,
    role: RoleOption,
    without_password: Annotated[
        bool, typer.Option("--without-password", help="Only the site's single sign-on lets this user in.")
    ] = False,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
) -> None:
    """Add a user, and print the password for the first login, which asks for another one."""
    typer.echo(_desk(config).add(name, role, password=not without_password).sentence)


@users.command("password")
def password(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Give a user a new password for one login. Whoever is logged in as this user is logged out."""
    typer.echo(_desk(config).give_password(name).sentence)


@users.command("role")
def role(
    name: Name,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="viewer, reader, admin or auditor.")],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
) -> None:
    """Give a user another role."""
    typer.echo(_desk(config).give_role(name, role).sentence)


@users.command("disable")
def disable(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Let a user in no more, and end the user's sessions."""
    typer.echo(_desk(config).disable(name).sentence)


@users.command("enable")
def enable(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Let a disabled user in again."""
    typer.echo(_desk(config).enable(name).sentence)


@users.command("remove")
def remove(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Remove a user. Events go on naming what the user did."""
    typer.echo(_desk(config).remove(name).sentence)


def _desk(config: site.ConfigPath) -> UserDesk:
    """Changes are events of the ledger; before the first start of the node there is none."""
    known = site.known(config)
    try:
        ledger = open_ledger(known)
    except NotFoundError:
        ledger = None
    return UserDesk(Accounts(known.node.data), ledger, who_types(), SystemClock().now())


def _plain(user: User) -> dict[str, object]:
    return {
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled,
        "must_change": user.must_change,
        "has_password": user.has_password,
        "created_at": user.created_at,
        "created_by": user.created_by,
    }
