"""What no file of the project may say, and what every exception must say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("node", "rules", "plugins", "tests", "docs", ".ci")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", ".cfg", ".txt", ".lock", ".java", ".j2", ".html", ""}

MADE_HERE = {"__pycache__", "node_modules"}
"""Folders that are not published."""

# put together here, so that this file does not name them either
REGISTRY_HOSTS = re.compile(
    "|".join(re.escape(a + b) for a, b in [("py", "pi.org"), ("python", "hosted.org"), ("npm", "js.org")])
)
PLACES_OF_ONE_MACHINE = re.compile(r"(?<![\w.}>*-])/" + r"(?:root|work/(?:main|shared)|home/[a-z]\w*|Users/\w+)\b")
IGNORES = re.compile(r"#\s*(?:noqa|type:\s*ignore|nosec|pragma:)(?P<what>[^#\n]*)(?P<why>#.*)?")


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project as it would be published."""
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # a file in a worktree
    for room in ROOMS:
        files += [path for path in (ROOT / room).rglob("*") if path.is_file() and not MADE_HERE & set(path.parts)]
    for path in sorted(files):
        if path.suffix in TEXT:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def matching_lines(pattern: re.Pattern[str]) -> list[str]:
    """`file:line: text` of every line that the pattern is found in."""
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def python_files(*rooms: str) -> Iterator[tuple[Path, str]]:
    """The Python files of some rooms."""
    return ((path, text) for path, text in texts() if path.suffix == ".py" and path.parts[0] in rooms)


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the site's own setting; the project works behind any mirror."""
    assert matching_lines(REGISTRY_HOSTS) == []


def test_no_file_names_a_place_of_one_machine() -> None:
    """A checkout works in any folder of any user."""
    assert matching_lines(PLACES_OF_ONE_MACHINE) == []


def test_every_ignore_says_which_rule_and_why() -> None:
    """`# noqa: X` and `# type: ignore[x]` name the rule, and a second comment on the line gives the reason."""
    unexplained = []
    for path, text in python_files("node", "rules", "plugins"):
        for number, line in enumerate(text.splitlines(), 1):
            found = IGNORES.search(line)
            if found is None:
                continue
            named = re.match(r"\s*(?::\s*[A-Z]+[0-9]+|\[[\w-]+(?:,\s*[\w-]+)*\]|:?\s*no cover)", found["what"])
            reason = (found["why"] or found["what"][named.end() :] if named else "").strip(" #-–:,")
            if not named or len(reason) < 8:
                unexplained.append(f"{path}:{number}: {line.strip()}")
    assert unexplained == []


def test_a_package_imports_its_own_modules_never_its_root() -> None:
    """Inside a package it is `from package.module import name`: by the root, imports go in circles.

    What authors copy imports the face, as they do.
    """
    through_the_root = []
    for path, text in python_files("node", "rules", "plugins"):
        if path.is_relative_to("plugins/examples"):
            continue
        own_packages = {".".join(path.parts[:depth]) for depth in range(1, len(path.parts))}
        for statement in ast.walk(ast.parse(text)):
            if not isinstance(statement, ast.ImportFrom) or statement.module not in own_packages or statement.level:
                continue
            folder = ROOT.joinpath(*statement.module.split("."))
            names = [name.name for name in statement.names]
            modules = [n for n in names if (folder / f"{n}.py").exists() or (folder / n / "__init__.py").exists()]
            if set(names) - set(modules) - {"__version__"}:
                through_the_root.append(f"{path}:{statement.lineno}: from {statement.module} import {', '.join(names)}")
    assert through_the_root == []


def test_of_highdicom_plugins_use_the_geometry_only() -> None:
    """Encoding results is the node's work: `plugins.imaging` imports `highdicom.spatial`, nothing else of highdicom."""
    imported = set()
    for _, text in python_files("plugins"):
        for statement in ast.walk(ast.parse(text)):
            if isinstance(statement, ast.Import):
                imported |= {name.name for name in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.module:
                imported |= {f"{statement.module}.{name.name}" for name in statement.names}
    strangers = {name for name in imported if name.split(".")[0] == "highdicom"} - {"highdicom.spatial"}
    assert {name for name in strangers if not name.startswith("highdicom.spatial.")} == set()
