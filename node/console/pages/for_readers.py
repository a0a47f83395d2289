"""What did the AI say of this study? One page by accession number for the radiologist, who says what is right.

A PACS or RIS opens it in the form of IHE Invoke Image Display (RAD-106): `requestType=STUDY` with `accessionNumber` or
`studyUID`, where several are separated by commas. Parameters that are for viewers of images do nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlencode

import structlog
from starlette.responses import RedirectResponse, Response

from node.accounts import launches
from node.accounts.launches import Launch, LaunchRefusedError
from node.console.page import PageRequest, PageRoute
from node.console.visitor import REFRESH, address_of, put_cookie
from node.desk import assessing, for_readers, viewing
from node.desk.assessing import VerdictForm
from node.desk.for_readers import ReaderStudy
from node.desk.rights import Right
from node.desk.rows import Study
from node.errors import NodeError, UsageError

log = structlog.get_logger(__name__)
PATH = "/reader"
_SEE_OTHER, _REFUSED, _LATER = 303, 403, 503
_MOST = 20
"""Studies that an address may name."""
_PARAMETERS = ("requestType", "accessionNumber", "studyUID")


async def _open(page: PageRequest) -> Response:
    accessions, uids = _asked(page)
    if not accessions and not uids:
        return page.render("reader.html", study=None, studies=[], asked="")
    found = await page.look(lambda _, ledger: for_readers.named(ledger, accessions, uids))
    if len(found) > 1:
        return page.render("reader.html", study=None, studies=found, asked=", ".join(accessions or uids))
    return await _study(page, found[0].study_instance_uid, patient=False)


async def _with_patient(page: PageRequest) -> Response:
    """The same, with the patient: for this once."""
    sent = await page.form()
    return await _study(page, str(sent.get("study")), patient=True)


async def _study(page: PageRequest, uid: str, *, patient: bool) -> Response:
    found = await page.look(lambda in_force, ledger: for_readers.look(ledger, in_force.configuration, uid))
    reports = await asyncio.to_thread(_reports, found)
    if REFRESH not in page.http.headers:
        await _viewed(page, found.study)
    return page.render(
        "reader.html",
        study=found.study,
        studies=[],
        asked="",
        results=found.results,
        reports=reports,
        patient=patient and page.who.may(Right.SEE_PATIENT),
        may_assess=page.who.may(Right.ASSESS),
        reasons=assessing.REASONS,
        back=f"{PATH}?{urlencode({'requestType': 'STUDY', 'studyUID': uid})}",
    )


def _reports(found: ReaderStudy) -> dict[str, object]:
    """Job → its report."""
    return {each.job.id: for_readers.report(each) for each in found.results}


async def _viewed(page: PageRequest, study: Study) -> None:
    actor, at = page.actor, page.now
    try:
        await page.site.reader.act(lambda _, ledger: viewing.viewed(ledger, study.study_instance_uid, actor, at))
    except NodeError as error:  # whoever needs the study sees it
        log.warning("console.view-not-recorded", reason=str(error))


async def _assess(page: PageRequest) -> Response:
    sent = await page.form()
    form = VerdictForm(**{name: str(sent.get(name, "")) for name in VerdictForm.__slots__})
    by, at = page.actor, page.now
    return await page.act(
        lambda in_force, ledger: assessing.assess(ledger, in_force.configuration, form, at, by), sent.get("back")
    )


def _asked(page: PageRequest) -> tuple[Sequence[str], Sequence[str]]:
    """Accession numbers, or Study Instance UIDs; UsageError."""
    kind = page.asked("requestType", "STUDY")
    if kind == "PATIENT":
        raise UsageError("requestType=PATIENT is not answered here: ask with requestType=STUDY and accessionNumber")
    if kind != "STUDY":
        raise UsageError("requestType has to be STUDY, with accessionNumber or studyUID")
    accessions, uids = (_listed(page.asked(name)) for name in ("accessionNumber", "studyUID"))
    if accessions and uids:
        raise UsageError("name the study by accessionNumber or by studyUID, not by both")
    if len(accessions) + len(uids) > _MOST:
        raise UsageError(f"at most {_MOST} studies at once")
    return accessions, uids


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part for each in text.split(",") if (part := each.strip())))


async def _launch(page: PageRequest) -> Response | None:
    """Where the address is signed: a session of its user, and the study; None where it is not."""
    query = page.http.query_params
    if "signature" not in query:
        return None
    try:
        token = await asyncio.to_thread(_enter, page)
    except LaunchRefusedError as error:
        log.warning("console.launch-refused", address=address_of(page.http), reason=str(error))
        return page.render("problem.html", _REFUSED, problem=page.words(str(error)))
    except NodeError as error:
        log.error("console.launch-failed", reason=str(error))
        return page.render(
            "problem.html", _LATER, problem=page.words("this does not work now; the node's log says why")
        )
    asked = {name: query[name] for name in _PARAMETERS if query.get(name)}
    answer = RedirectResponse(f"{PATH}?{urlencode(asked)}", _SEE_OTHER)
    put_cookie(answer, page.http, page.site.settings, token)
    return answer


def _enter(page: PageRequest) -> str:
    query, settings = page.http.query_params, page.site.settings
    if settings.launch_key is None:
        raise LaunchRefusedError("launches are not set up here (console.launch_key)")
    names = ("user", "requestType", "accessionNumber", "studyUID", "time", "nonce", "signature")
    if any(len(query.getlist(name)) > 1 for name in names) or query.get("requestType") != "STUDY":
        raise LaunchRefusedError("a launch names one user and requestType=STUDY, and each value once")
    user, _, accession, uid, moment, nonce, signature = (query.get(name, "") for name in names)
    try:
        key = launches.read_key(settings.launch_key)
    except (OSError, NodeError) as error:
        log.error("console.launch-key-unusable", reason=str(error))
        raise LaunchRefusedError("the key of launches cannot be used; the node's log says why") from error
    asked = Launch(user, accession, uid, moment, nonce, signature)
    token = launches.enter(page.site.accounts, key, asked, time.time(), address_of(page.http))
    log.info("console.launch", user=user.casefold(), address=address_of(page.http))
    return token


ROUTES = [
    PageRoute(PATH, _open, Right.READ_RESULTS, enter=_launch),
    PageRoute(f"{PATH}/patient", _with_patient, Right.SEE_PATIENT, ("POST",)),
    PageRoute(f"{PATH}/verdict", _assess, Right.ASSESS, ("POST",)),
]
