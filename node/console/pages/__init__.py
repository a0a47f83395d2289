"""The pages, one module each; a new one is added here."""

from node.console.page import NavigationEntry, PageRoute
from node.console.pages import (
    account,
    audit,
    connections,
    figures,
    for_readers,
    login,
    now,
    plugins,
    review,
    rule_editor,
    rules,
    studies,
    study,
    study_results,
    upload,
    users,
)
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
    *rules.ROUTES,
    *rule_editor.ROUTES,
    *plugins.ROUTES,
    *connections.ROUTES,
    *figures.ROUTES,
    *upload.ROUTES,
    *audit.ROUTES,
    *users.ROUTES,
]
NAVIGATION = [
    NavigationEntry("/", "Now", Right.SEE_NODE),
    NavigationEntry("/studies", "Studies", Right.SEE_NODE),
    NavigationEntry("/review", "Review", Right.SEE_NODE),
    NavigationEntry("/rules", "Rules", Right.SEE_NODE),
    NavigationEntry("/plugins", "Plugins", Right.SEE_NODE),
    NavigationEntry("/connections", "Connections", Right.SEE_NODE),
    NavigationEntry("/figures", "Figures", Right.SEE_NODE),
    NavigationEntry("/upload", "Upload", Right.UPLOAD),
    NavigationEntry("/audit", "Audit", Right.SEE_AUDIT),
    NavigationEntry("/users", "Users", Right.MANAGE_USERS),
    NavigationEntry("/reader", "Results", Right.READ_RESULTS),
]
"""In the order of the bar."""
