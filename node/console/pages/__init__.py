"""The pages, one module each; a new one is added here."""

from node.console.page import NavigationEntry, PageRoute
from node.console.pages import (
    account,
    connections,
    figures,
    login,
    now,
    plugins,
    rule_editor,
    rules,
    studies,
    upload,
)
from node.desk.rights import Right

ROUTES: list[PageRoute] = [
    *login.ROUTES,
    *account.ROUTES,
    *now.ROUTES,
    *studies.ROUTES,
    *rules.ROUTES,
    *rule_editor.ROUTES,
    *plugins.ROUTES,
    *connections.ROUTES,
    *figures.ROUTES,
    *upload.ROUTES,
]
NAVIGATION = [
    NavigationEntry("/", "Now", Right.SEE_NODE),
    NavigationEntry("/studies", "Studies", Right.SEE_NODE),
    NavigationEntry("/rules", "Rules", Right.SEE_NODE),
    NavigationEntry("/plugins", "Plugins", Right.SEE_NODE),
    NavigationEntry("/connections", "Connections", Right.SEE_NODE),
    NavigationEntry("/figures", "Figures", Right.SEE_NODE),
    NavigationEntry("/upload", "Upload", Right.UPLOAD),
]
"""In the order of the bar."""
