"""Another kind of plugin: a module and a line in the registry; the stage knows none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from node.ledger.job import Job, JobOutcome, JobStatus
from node.run.executor import AttemptLimits, Exit, ExitKind
from node.run.kinds import registry
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from plugins import exchange
from plugins.contract import Result, ResultStatus
from plugins.manifest import Manifest
from plugins.runtime import RuntimeKind
from tests.support.sites.job_site import Site


class AnswersItself:
    """It starts no process."""

    def execute(self, folder: Path, limits: AttemptLimits, cancel: threading.Event) -> Exit:
        """As a program that wrote its result."""
        exchange.write_result(folder, Result(ResultStatus.NOT_APPLICABLE, "Not for another kind."))
        return Exit(ExitKind.EXITED, 0)


def _executor(manifest: Manifest, work: Path, isolation: Isolation) -> AnswersItself:
    assert manifest.runtime.kind is RuntimeKind.COMMAND
    return AnswersItself()


def test_a_job_is_run_by_the_module_of_its_kind(
    site: Site, start: Callable[..., RunStage], settle: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest says the kind; from the claim to the kept result nothing else asks for it."""
    monkeypatch.setattr(registry, "KINDS", {**registry.KINDS, RuntimeKind.COMMAND: _executor})
    site.command_plugin("other", "#!/bin/sh\nexit 1\n")
    receipts = site.receive(2)
    site.complete()
    job = settle(start(), site.job("other", receipts))
    assert (job.status, job.outcome) == (JobStatus.ENDED, JobOutcome.NOT_APPLICABLE)
    assert site.kept(job)["summary"] == "Not for another kind."
