"""What happens to a study that comes? The rules as a picture, the files that say them, and who changed what when."""

from __future__ import annotations

from starlette.responses import Response

from node.accounts import drafts
from node.config.in_force import InForce
from node.console.drawing import picture
from node.console.page import PageRequest, PageRoute
from node.console.reader import Ledger
from node.desk import configuration_files, pipeline, site
from node.desk import rules as rule_sets
from node.desk.rights import Right
from rules.model import rule_set_digest

_SHOWN = 30


async def _rules(page: PageRequest) -> Response:
    may_change = page.who.may(Right.CHANGE_RULES)

    def found(in_force: InForce, ledger: Ledger) -> tuple[object, ...]:
        standing = site.standing(in_force.path)
        return standing, pipeline.paused(ledger), rule_sets.versions(ledger)[:_SHOWN]

    standing, paused, versions = await page.look_together("rules", found)
    drawn = pipeline.of(page.in_force.configuration)
    return page.render(
        "rules.html",
        standing=standing,
        paused=paused,
        versions=versions,
        pipeline=drawn,
        picture=picture(drawn),
        digest=rule_set_digest(page.in_force.configuration.rules),
        files=configuration_files.files(page.in_force) if may_change else [],
        drafts=[each for each in drafts.every(page.site.accounts) if may_change],
        edit=page.site.settings.edit,
    )


async def _version(page: PageRequest) -> Response:
    name, other = page.part("version"), page.asked("against")
    kept = await page.look(lambda _, ledger: rule_sets.kept(ledger, name))
    changes = await page.look(lambda _, ledger: rule_sets.difference(ledger, other, name)) if other else None
    return page.render("rule_version.html", kept=kept, changes=changes, against=other)


ROUTES = [
    PageRoute("/rules", _rules, Right.SEE_NODE),
    PageRoute("/rules/versions/{version}", _version, Right.SEE_NODE),
]
