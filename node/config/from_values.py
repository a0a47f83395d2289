"""Plain values, such as YAML or JSON hold, → `Configuration`.

It is apart from `loading`, because whoever uses what is in force (`in_force`) needs no YAML.
"""

from __future__ import annotations

from pathlib import Path

from node.config.dictionary import DataDictionary
from node.config.models import Configuration
from node.config.sections import FOLDER
from rules.model import DICTIONARY, of_site


def validated(value: object, folder: Path) -> Configuration:
    """The configuration that plain values stand for, relative paths beginning at `folder`; ValidationError."""
    configuration = Configuration.model_validate(value, context={DICTIONARY: DataDictionary(), FOLDER: folder})
    rules = of_site(configuration.rules, configuration.ignore, configuration.vendors)
    return configuration.model_copy(update={"rules": rules})
