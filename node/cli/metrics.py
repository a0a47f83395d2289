"""`pacsnode metrics`."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

from node.errors import UsageError

_FOLDER = files("node.observe") / "prometheus"


def metrics(
    dashboard: Annotated[bool, typer.Option("--dashboard", help="The dashboard for Grafana.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="The alert rules for Prometheus.")] = False,
) -> None:
    """Print what Prometheus and Grafana need beside the figures of the node.

    The figures are at /metrics of the console (the section `console` of the configuration).
    """
    if dashboard == rules:
        raise UsageError("say what to print: --dashboard or --rules; the figures are at /metrics of the console")
    typer.echo((_FOLDER / ("dashboard.json" if dashboard else "rules.yaml")).read_text(encoding="utf-8"), nl=False)
