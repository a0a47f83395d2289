"""The console's process: answers HTTP as the section `console` says, until SIGTERM or the end of its supervisor."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import structlog

from node.config import in_force
from node.config.console import ConsoleSettings
from node.console.app import application
from node.console.reader import Reader
from node.errors import NodeError
from node.observe import logs
from node.serve.http import HttpPlace, answer
from node.serve.lifeline import end_with

log = structlog.get_logger(__name__)
_NICE = 10
"""It stands back from receivers and stages."""


def main() -> int:
    """Run until it is stopped; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m node.console")
    parser.add_argument("--in-force", type=Path, required=True, help="the configuration to use")
    parser.add_argument("--alive", type=int, help="read end of a pipe that ends with the supervisor")
    arguments = parser.parse_args()
    configuration = in_force.read(arguments.in_force).configuration
    settings = configuration.console or ConsoleSettings()
    logs.configure(configuration.node.logs.format, configuration.node.logs.level, process="console")
    if arguments.alive is not None:
        end_with(arguments.alive)
    os.nice(_NICE)
    log.info("console.starts", host=settings.host, port=settings.port, tls=settings.tls is not None)
    certificate, key = (settings.tls.certificate, settings.tls.key) if settings.tls else (None, None)
    try:
        app = application(Reader(arguments.in_force), settings, configuration.node.data)
        proxies = frozenset(settings.proxy.addresses) if settings.proxy else frozenset()
        answer(app, HttpPlace("console", settings.host, settings.port, certificate, key, proxies))
    except NodeError as error:
        log.error("console.cannot-start", reason=str(error))
        return 1
    return 0
