"""After the demonstration: node and console stay, for whoever wants to look around, until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import suppress

from rich.console import Console

from node.accounts import users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.cli.demo.site import DemoSite
from node.clock import SystemClock
from node.desk.actor import who_types
from node.desk.site import read
from node.desk.users import UserDesk

_ADMIN = "admin"


def leave_open(site: DemoSite, screen: Console) -> None:
    """Print the address and a password for one login, and wait for Ctrl-C."""
    console = read(site.folder.config).configuration.console
    if console is None:
        return
    accounts = Accounts(site.folder.data)
    desk = UserDesk(accounts, site.ledger, who_types(), SystemClock().now())
    known = users.get(accounts, _ADMIN) is not None
    made = desk.give_password(_ADMIN) if known else desk.add(_ADMIN, Role.ADMIN)
    screen.print(f"\nThe console: http://127.0.0.1:{console.port}/")
    said = f"Log in as {_ADMIN} with the password {made.value['password']}; it asks for one of your own."
    screen.print(said, markup=False)
    screen.print("Node, PACS and console run until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        signal.pause()
    screen.print("\nNode, PACS and console have ended. The next run goes on from here.")
