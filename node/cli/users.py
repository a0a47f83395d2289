"""`pacsnode users`: who may use the console."""

from __future__ import annotations

from typing import Annotated

import typer

from node.accounts import users as accounts
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.cli import output, site
from node.cli.output import cell, table
from node.clock import SystemClock
from node.desk.actor import who_types

users = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Users of the console."
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What the user may do.")]


@users.command("list")
def list_(config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """List the users of the console with their roles."""
    found = accounts.every(_accounts(config))
    if as_json:
        output.as_json({"users": [_plain(each) for each in found]})
    elif not found:
        output.console().print("There is no user yet: pacsnode users add NAME --role admin")
    else:
        rows = [[cell(each.name), cell(each.role), cell(_state(each)), cell(each.created_by)] for each in found]
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
    now, by = SystemClock().now(), str(who_types())
    secret = accounts.add(_accounts(config), name, role, now, by, password=not without_password)
    typer.echo(f"user {name.casefold()} is added with the role {role}")
    if secret:
        typer.echo(f"password for the first login: {secret}")


@users.command("password")
def password(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Give a user a new password for one login. Whoever is logged in as this user is logged out."""
    typer.echo(f"password for the next login of {name}: {accounts.reset_password(_accounts(config), name)}")


@users.command("role")
def role(
    name: Name,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="viewer, reader, admin or auditor.")],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
) -> None:
    """Give a user another role."""
    accounts.change(_accounts(config), name, role=role)
    typer.echo(f"user {name} has the role {role} now")


@users.command("disable")
def disable(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Let a user in no more, and end the user's sessions."""
    accounts.change(_accounts(config), name, disabled=True)
    typer.echo(f"user {name} is disabled")


@users.command("enable")
def enable(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Let a disabled user in again."""
    accounts.change(_accounts(config), name, disabled=False)
    typer.echo(f"user {name} is enabled")


@users.command("remove")
def remove(name: Name, config: site.ConfigPath = site.DEFAULT_CONFIG) -> None:
    """Remove a user. Events go on naming what the user did."""
    accounts.remove(_accounts(config), name)
    typer.echo(f"user {name} is removed")


def _accounts(config: site.ConfigPath) -> Accounts:
    return Accounts(site.known(config).node.data)


def _state(user: accounts.User) -> str:
    if user.disabled:
        return "disabled"
    if not user.has_password:
        return "by single sign-on alone"
    return "has to choose a password" if user.must_change else ""


def _plain(user: accounts.User) -> dict[str, object]:
    return {
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled,
        "must_change": user.must_change,
        "has_password": user.has_password,
        "created_at": user.created_at,
        "created_by": user.created_by,
    }
