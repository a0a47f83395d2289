"""One study: what came of it, its way through the node, why each rule ran or did not, and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import structlog
from starlette.responses import RedirectResponse, Response

from node.config.in_force import InForce
from node.console.page import PageRequest, PageRoute
from node.console.reader import Ledger
from node.console.visitor import REFRESH
from node.desk import explain, journey, names, plugin_log, removal, story, study, study_actions, viewing, why
from node.desk import rules as rule_versions
from node.desk.explain import StudyExplanation
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.desk.rows import Attempt, Job
from node.desk.rules import VersionDifference
from node.desk.study import StudyHistory
from node.desk.study_actions import StudyAction
from node.errors import NodeError, NotFoundError

log = structlog.get_logger(__name__)
_SEE_OTHER = 303
_EVENTS, _DELIVERIES, _REVISIONS = 40, 60, 4
"""Shown at first; a link shows all."""
_LOG_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StudyOnPage:
    """A study, read for its page."""

    history: StudyHistory
    name: str
    actions: list[StudyAction]

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return self.history.study.study_instance_uid


def read(page: PageRequest, in_force: InForce, ledger: Ledger) -> StudyOnPage:
    """The study that the address names; NotFoundError, UsageError."""
    found = study.look(ledger, page.part("uid"), in_force.configuration)
    with ledger.reading() as database:
        offered = study_actions.offered(database, found) if page.who.may(Right.ACT) else []
        uid = found.study.study_instance_uid
        return StudyOnPage(found, str(names.of(database, [uid])[uid]), offered)


async def record_view(page: PageRequest, uid: str) -> None:
    """Have it on record that the visitor looks at a study; what a page does by itself is no look."""
    if REFRESH in page.http.headers:
        return
    await page.site.reader.act(lambda _, ledger: viewing.viewed(ledger, uid, page.actor, page.now))


async def _study(page: PageRequest) -> Response:
    found = await page.look(partial(read, page))
    if found.uid != page.part("uid"):  # by accession number, or a part of the UID
        return RedirectResponse(f"/studies/{quote(found.uid, safe='')}", _SEE_OTHER)
    try:
        await record_view(page, found.uid)
    except (NodeError, OSError) as error:  # a ledger that cannot be written must not hide what is wrong with it
        log.warning("console.view-not-recorded", study=found.uid, reason=type(error).__name__)
    return _shown(page, found, identify=False)


async def _with_patient(page: PageRequest) -> Response:
    await page.form()
    require(page.actor, Right.SEE_PATIENT)
    found = await page.look(partial(read, page))
    await record_view(page, found.uid)
    return _shown(page, found, identify=True)


def _shown(page: PageRequest, found: StudyOnPage, *, identify: bool) -> Response:
    configuration, now, all_of_it = page.in_force.configuration, page.now, page.asked("show") == "all"
    history = found.history
    refreshing = REFRESH in page.http.headers
    revisions = [] if refreshing else why.revisions(history, identify=identify)
    return page.render(
        "study.html",
        found=history,
        uid=found.uid,
        name=found.name,
        actions=found.actions,
        for_one=study_actions.for_one,
        identify=identify,
        lines=story.lines(history, configuration, now),
        steps=journey.steps(history, now),
        revisions=revisions if all_of_it else revisions[:_REVISIONS],
        more_revisions=0 if all_of_it else len(revisions[_REVISIONS:]),
        removed=list(removal.lines(history, configuration.node.zone)),
        attempts=_by_job(history),
        deliveries=history.deliveries if all_of_it else history.deliveries[-_DELIVERIES:],
        events=[] if refreshing else history.events if all_of_it else history.events[-_EVENTS:],
        all_of_it=all_of_it,
        address=f"/studies/{found.uid}" + ("?show=all" if all_of_it else ""),
        refreshing=refreshing,
    )


def _by_job(found: StudyHistory) -> dict[str, list[Attempt]]:
    made: dict[str, list[Attempt]] = {job.id: [] for job in found.jobs}
    for each in found.attempts:
        made[each.job].append(each)
    return made


# --- why, by the rules of now -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RulesThenAndNow:
    """What the rules say of a study now, beside what they said."""

    study: StudyOnPage
    now: StudyExplanation
    difference: VersionDifference | None
    """How the rules of now differ from those that decided; None where these are the same, or were not kept."""


def _read_both(page: PageRequest, in_force: InForce, ledger: Ledger) -> RulesThenAndNow:
    found = read(page, in_force, ledger)
    said = explain.of_study(ledger, in_force.configuration, found.uid)
    then = said.recorded[0].rule_set if said.recorded else ""
    try:
        difference = rule_versions.difference(ledger, then, _newest_version(ledger)) if then else None
    except NotFoundError:  # a version that retention has let go
        difference = None
    return RulesThenAndNow(found, said, difference)


def _newest_version(ledger: Ledger) -> str:
    return next((each.digest for each in rule_versions.versions(ledger)), "")


async def _decide_again(page: PageRequest) -> Response:
    """A dry run: what the rules of now would decide, beside what was decided."""
    both = await page.look(partial(_read_both, page))
    said = both.now
    latest = why.revisions(both.study.history, identify=False)[:1]
    then = {each.trace.rule: each for each in latest[0].decisions} if latest else {}
    now = why.now(said.decisions, identify=False)
    return page.render(
        "study_rules.html",
        uid=both.study.uid,
        name=both.study.name,
        rules=list(dict.fromkeys([*now, *then])),
        then=then,
        now_=now,
        differing={each.rule for each in said.differing},
        stopped=[*said.stopped, *said.outside],
        difference=both.difference.lines if both.difference else [],
        is_complete=said.facts.complete,
    )


# --- one job ----------------------------------------------------------------------------------------


async def _job(page: PageRequest) -> Response:
    found = await page.look(partial(read, page))
    job = job_of(found.history, page.part("job"))
    tried = [each for each in found.history.attempts if each.job == job.id]
    logs: dict[str, str] = {}
    if page.who.may(Right.SEE_PATIENT):  # a plugin that knows who the patient is may print it
        await record_view(page, found.uid)
        data = page.in_force.configuration.node.data
        wanted = dict.fromkeys(each.log for each in tried if each.log)
        logs = await page.look(lambda _, __: {name: plugin_log.end_of(data, name, _LOG_BYTES) for name in wanted})
    return page.render(
        "study_job.html",
        uid=found.uid,
        name=found.name,
        job=job,
        attempts=tried,
        logs=list(logs.values()),
        wait=found.history.waits.get(job.id, ""),
        uses=[each for each in found.history.computed_from if each.job == job.id],
        actions=study_actions.for_one(found.actions, job.id),
    )


def job_of(found: StudyHistory, name: str) -> Job:
    """The job of the study with this id; NotFoundError, for those of other studies, too."""
    for each in found.jobs:
        if each.id == name:
            return each
    raise NotFoundError("this study has no such job")


# --- what a person does -----------------------------------------------------------------------------


async def _ask(page: PageRequest) -> Response:
    found = await page.look(partial(read, page))
    action = study_actions.named(found.actions, page.asked("do"), page.asked("what"))
    return page.render("study_ask.html", uid=found.uid, name=found.name, action=action)


async def _act(page: PageRequest) -> Response:
    sent = await page.form()
    kind, what = str(sent.get("do", "")), str(sent.get("what", ""))
    by, at = page.actor, page.now

    def act(in_force: InForce, ledger: Ledger) -> ActionOutcome:
        found = read(page, in_force, ledger)
        return study_actions.carry_out(ledger, found.uid, study_actions.named(found.actions, kind, what), at, by)

    return await page.act(act, f"/studies/{quote(page.part('uid'), safe='')}")


ROUTES = [
    PageRoute("/studies/{uid}", _study, Right.SEE_NODE),
    PageRoute("/studies/{uid}/patient", _with_patient, Right.SEE_NODE, ("POST",)),
    PageRoute("/studies/{uid}/rules-now", _decide_again, Right.SEE_NODE),
    PageRoute("/studies/{uid}/jobs/{job}", _job, Right.SEE_NODE),
    PageRoute("/studies/{uid}/ask", _ask, Right.ACT),
    PageRoute("/studies/{uid}/act", _act, Right.ACT, ("POST",)),
]
