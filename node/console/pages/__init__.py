"""The pages, one module each; a new one is added here."""

from node.console.page import NavigationEntry, PageRoute
from node.console.pages import account, connections, figures, login, now, plugins, studies
from node.desk.rights import Right

ROUTES: list[PageRoute] = [
    *login.ROUTES,
    *account.ROUTES,
    *now.ROUTES,
    *studies.ROUTES,
    *plugins.ROUTES,
    *connections.ROUTES,
    *figures.ROUTES,
]
NAVIGATION = [
    NavigationEntry("/", "Now", Right.SEE_NODE),
    NavigationEntry("/studies", "Studies", Right.SEE_NODE),
    NavigationEntry("/plugins", "Plugins", Right.SEE_NODE),
    NavigationEntry("/connections", "Connections", Right.SEE_NODE),
    NavigationEntry("/figures", "Figures", Right.SEE_NODE),
]
"""In the order of the bar."""
