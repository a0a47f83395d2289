"""A new configuration on its way to the stages: all of them use it in the end, or none does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType

import structlog

from node.app.reload import NotInForceError
from node.app.stages import StageMaker
from node.app.workers import Worker
from node.config import in_force
from node.config.in_force import InForce
from node.config.models import Configuration
from node.config.sections import Party
from node.errors import NodeError
from node.items import defect_of, place_of
from node.stage import NodeStage

log = structlog.get_logger(__name__)


class Change:
    """From one configuration to another. Leaving it with an exception has every stage use the first one again."""

    def __init__(self, before: InForce, wanted: InForce) -> None:
        self._before = before
        self._wanted = wanted
        self._undo = ExitStack()
        self.made: list[Worker] = []
        """What is to be started once nothing can refuse the change any more."""

    def __enter__(self) -> Change:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._undo.pop_all()
        else:
            self._undo.close()

    def use(self, party: Party, stages: Mapping[str, NodeStage]) -> None:
        """Have these stages use it; NotInForceError where one refuses."""
        for name, stage in stages.items():
            with self._refusals_of(name, party):
                stage.use(self._wanted.configuration)
            self._undo.callback(_go_back, name, stage, self._before.configuration)

    def make(self, party: Party, makers: Mapping[str, StageMaker]) -> None:
        """Make stages that were not needed before; NotInForceError where one cannot be made."""
        for name, maker in makers.items():
            with self._refusals_of(name, party):
                worker = maker.worker(name, self._wanted.configuration)
            self._undo.callback(worker.stage.close)
            self.made.append(worker)

    @contextmanager
    def _refusals_of(self, stage: str, party: Party) -> Iterator[None]:
        """Say which sections a stage refuses. The text of an error that is not ours may hold a patient's data."""
        try:
            yield
        except Exception as error:
            why = str(error) if isinstance(error, NodeError) else defect_of(error)
            sections = in_force.changed_for(self._before, self._wanted, party) or ["plugins"]
            log.error("app.stage-refuses", stage=stage, changed=sections, why=why, place=place_of(error))
            raise NotInForceError(
                f"{self._wanted.path}: {', '.join(sections)}: the stage {stage} cannot use this ({why})"
            ) from error


def _go_back(name: str, stage: NodeStage, before: Configuration) -> None:
    """It used this until now. Where even that fails, the process ends: it is started again with what is in force."""
    try:
        stage.use(before)
    except Exception as error:  # noqa: BLE001 - the other stages have to go back, too
        log.critical("app.stage-cannot-go-back", stage=name, why=place_of(error))
        os.kill(os.getpid(), signal.SIGTERM)
