"""`python -m node.cli`: the command, where it is not installed as `pacsnode`."""

from node.cli.commands import run

run()
