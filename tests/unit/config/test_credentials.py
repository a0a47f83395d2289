"""`credential:NAME` in place of the path of a secret: what systemd hands to the service, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import loading
from node.config.problems import ConfigurationError
from tests.support.sites.configurations import Write

TEXT = """
node: {{time_zone: UTC}}
people: {{duty: {{webhook: {{url: "https://pager.example/x", token_file: "{token}"}}}}}}
notify: {{mail: {{host: mail.example, sender: a@b.example, username: u, password_file: "{password}"}}}}
"""


def test_a_credential_is_the_file_that_systemd_made(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder that the service is told of; every key that names a secret takes one."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in ("pager-token", "mail"):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0o400)
    loaded = loading.read(write(TEXT.format(token="credential:pager-token", password="credential:mail")))
    webhook = loaded.configuration.people["duty"].webhook
    assert webhook is not None
    assert webhook.token_file == tmp_path / "pager-token"
    mail = loaded.configuration.notify.mail
    assert mail is not None
    assert mail.password_file == tmp_path / "mail"


def test_one_that_is_not_there_is_named_where_systemd_would_have_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for who asks beside the service."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigurationError, match=r"no file /run/credentials/pacsnode\.service/pager"):
        loading.read(write(TEXT.format(token="credential:pager", password="credential:mail")))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../etc/shadow"])
def test_a_name_that_leads_elsewhere_is_refused(write: Write, name: str) -> None:
    """At its line."""
    with pytest.raises(ConfigurationError, match=r"config\.yaml:3:.*names no credential"):
        loading.read(write(TEXT.format(token=f"credential:{name}", password="credential:mail")))
