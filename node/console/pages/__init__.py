"""The pages, one module each; a new one is added here."""

from node.console.page import NavigationEntry, PageRoute
from node.console.pages import account, for_readers, login, now, review, studies, study, study_results
from node.desk.rights import Right

ROUTES: list[PageRoute] = [
    *login.ROUTES,
    *account.ROUTES,
    *now.ROUTES,
    *studies.ROUTES,
    *study.ROUTES,
    *study_results.ROUTES,
    *for_readers.ROUTES,
    *review.ROUTES,
]
NAVIGATION = [
    NavigationEntry("/", "Now", Right.SEE_NODE),
    NavigationEntry("/studies", "Studies", Right.SEE_NODE),
    NavigationEntry("/review", "Review", Right.SEE_NODE),
    NavigationEntry("/reader", "Results", Right.READ_RESULTS),
]
"""In the order of the bar."""
