"""From a run that a rule asks for to the job that does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from node.errors import NotFoundError
from node.ledger import alerts, notices
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.instances import Instance
from node.ledger.job import URGENT, JobInput, NewJob, UsedResult, digest_of, images_digest_of
from node.ledger.studies import Study
from node.ledger.terms import Terms
from plugins.manifest import ParameterError
from rules.decision import PlannedRun
from rules.model import Rule

RoleInstances: TypeAlias = tuple[str, str, list[Instance]]
"""Role, Series Instance UID and the chosen instances of one series."""
PRIORITIES = {"routine": 0, "high": 10, "urgent": URGENT}
WHOLE_STUDY = "study"
"""Subject of a job that is about no single series."""


class Plugins(Protocol):
    """What routing must know of the plugins (`node.run.catalogue.Catalogue`)."""

    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        """All parameters of a job, defaults included; NotFoundError, ParameterError."""
        ...


def new_job(
    database: Database,
    at: datetime,
    study: Study,
    rule: Rule,
    run: PlannedRun,
    by_uid: Mapping[str, Instance],
    plugins: Plugins,
    zone: ZoneInfo,
    more: Sequence[RoleInstances] = (),
    uses: Sequence[UsedResult] = (),
) -> NewJob:
    """The job for a run; `by_uid` are the study's instances that count, `zone` is that of the rule's hours.

    `more` is what it is given of another study, `uses` are the results of earlier steps.
    """
    assert study.completed_at is not None, study.study_instance_uid
    parameters = _parameters(database, at, study, rule.name, run, plugins)
    chosen = [*_own_inputs(run, by_uid), *more]
    return NewJob(
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        rule=rule.name,
        step=run.step,
        subject=WHOLE_STUDY if run.subject == study.study_instance_uid else run.subject,
        plugin=run.plugin,
        parameters=parameters,
        inputs=tuple(
            JobInput(role, series, tuple(sorted(one.receipt for one in found))) for role, series, found in chosen
        ),
        inputs_digest=_digest(run, parameters, chosen, uses),
        images_digest=_images_digest(run, parameters, chosen),
        identity=run.identity,
        destinations=run.destinations,
        mode=run.mode,
        priority=PRIORITIES[run.priority],
        on_correction=run.on_correction,
        images_complete_at=study.completed_at,
        asked=rule.description,
        terms=_terms(rule, run, zone),
        uses=tuple(sorted(uses)),
    )


def _digest(
    run: PlannedRun, parameters: Mapping[str, Any], chosen: Sequence[RoleInstances], uses: Sequence[UsedResult]
) -> str:
    """What tells whether a later revision would have it run on the same."""
    images = [(role, one.sop_instance_uid, one.digest) for role, _, found in chosen for one in found]
    return digest_of(run.plugin, parameters, images, run.identity, uses)


def _images_digest(run: PlannedRun, parameters: Mapping[str, Any], chosen: Sequence[RoleInstances]) -> str:
    """The same, however they are encoded: for images that come again after they were removed."""
    images = [(role, one.sop_instance_uid) for role, _, found in chosen for one in found]
    return images_digest_of(run.plugin, parameters, images, run.identity)


def _own_inputs(run: PlannedRun, by_uid: Mapping[str, Instance]) -> Iterator[RoleInstances]:
    """What the run is given of the study itself."""
    for each in run.inputs:
        yield each.role, each.series_instance_uid, [by_uid[uid] for uid in each.sop_instance_uids]


def _terms(rule: Rule, run: PlannedRun, zone: ZoneInfo) -> Terms:
    hours = {"hours": rule.hours.model_dump(mode="json"), "zone": zone.key} if rule.hours else None
    told = notices.terms_of(rule)
    if rule.expires is None:
        return Terms(run.send_when, hours=hours, notices=told)
    late = rule.expires.notify
    whom, text = (late.whom, late.text) if late else ((), "")
    return Terms(run.send_when, run.expires_at, rule.expires.then, whom, text, hours, told)


def _parameters(
    database: Database, at: datetime, study: Study, rule: str, run: PlannedRun, plugins: Plugins
) -> dict[str, Any]:
    """All parameters of the run.

    Where the plugin or a parameter cannot be used (a manifest that changed after the configuration was
    checked) the job is made anyway: it will end as failed, which the radiologist sees.
    """
    try:
        return dict(plugins.parameters_for(run.plugin, run.parameters))
    except (NotFoundError, ParameterError) as error:
        alerts.raised(
            database,
            at,
            AlertKind.DECISION_PLUGIN_UNUSABLE,
            f"{study.study_instance_uid} {rule}",
            study=study.study_instance_uid,
            rule=rule,
            revision=study.revision,
            plugin=run.plugin,
            error=str(error),
        )
        return dict(run.parameters)
