"""What a rule says about sending its results is held against who reads them."""

from __future__ import annotations

import pytest

from node.config.loading import load
from tests.support.sites.configurations import SITE, Write, rule, told


@pytest.mark.parametrize(
    ("sent", "send", "message"),
    [
        ("[findings]", "pacs", "would not learn of failed: add failed"),
        ("no_findings", "pacs", "would not learn of findings and failed"),
        ("[findings, failed]", "pacs", "could not tell no_findings from not_applicable"),
        ("[findings, failed, not_applicable]", "pacs", None),
        ("[findings, no_findings, failed]", "pacs", None),
        ("findings", "research", None),
        ("findings", "[research, pacs]", "would not learn of failed"),
    ],
)
def test_silence_may_mean_one_thing_only(write: Write, sent: str, send: str, message: str | None) -> None:
    """Readers are told of findings and failures, and what nothing means is never in doubt; an evaluation takes any."""
    found = told(write(f"{SITE}rules:{rule(send=send)}    send_when: {sent}\n"))
    if message is None:
        assert found == []
    else:
        [(_, path, text)] = found
        assert path == "rules[0].send_when"
        assert message in text


PEOPLE = """\
people:
  duty: {webhook: {url: "https://pager.example/x"}}
"""


def test_a_rule_that_tells_somebody_unknown_is_refused(write: Write) -> None:
    """At the name, with who was probably meant; where there is nobody at all, that is said."""
    [(line, path, text)] = told(write(f"{SITE}{PEOPLE}rules:{rule()}    notify: {{whom: [duty, dutty]}}\n"))
    assert (path, line) == ("rules[0].notify.whom[1]", f"{SITE}{PEOPLE}rules:{rule()}".count("\n") + 1)
    assert text == 'there is nobody called "dutty" under people → duty'
    [(_, path, text)] = told(write(f"{SITE}rules:{rule()}    notify: {{whom: duty}}\n"))
    assert (path, text) == ("rules[0].notify.whom", 'there is nobody called "duty" under people')


def test_a_rule_in_shadow_tells_nobody(write: Write) -> None:
    """Its results are for evaluation."""
    quiet = rule(send="research", mode="shadow")
    [(_, path, text)] = told(write(f"{SITE}{PEOPLE}rules:{quiet}    notify: {{whom: duty}}\n"))
    assert path == "rules[0].notify"
    assert "notifies nobody" in text


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("people: {duty: {}}", "people.duty", "needs email or webhook"),
        ("people: {duty: {email: duty@x.example}}", "people.duty.email", "no mail server is given"),
        ("people: {duty: {email: duty}}", "people.duty.email", "not an e-mail address"),
        ("people: {duty: {email: 'a@b\\nBcc: c@d'}}", "people.duty.email", "not an e-mail address"),
        ("people: {duty: {webhook: {url: 'file:///etc/passwd'}}}", "people.duty.webhook.url", "begins with https://"),
        (
            "people: {duty: {webhook: {url: 'https://x', token_file: none.txt}}}",
            "people.duty.webhook.token_file",
            "there is no file",
        ),
        ("notify: {mail: {host: x, sender: a@b, username: u}}", "notify.mail", "go together"),
    ],
)
def test_what_is_missing_for_somebody_to_be_told(write: Write, text: str, path: str, message: str) -> None:
    """Each at its place."""
    found = [each[1] for each in told(write(f"{SITE}{text}\n")) if message in each[2]]
    assert found == [path]


WEBHOOK = "people: {duty: {webhook: {url: %s}}}"
MAIL = "notify: {mail: {host: %s, sender: a@b.example}}"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (WEBHOOK % "'https://höst.example/é'", "people.duty.webhook.url", "%C3%A9"),
        (WEBHOOK % "'https://x.example:99999'", "people.duty.webhook.url", "out of range"),
        (WEBHOOK % "'https://x.example:0'", "people.duty.webhook.url", "no port 0"),
        (WEBHOOK % "'https://x.example:http'", "people.duty.webhook.url", "ort"),
        (WEBHOOK % "'https://u:p@x.example/'", "people.duty.webhook.url", "token_file"),
        (WEBHOOK % "'https://x..example/'", "people.duty.webhook.url", "not a name or address of a machine"),
        (WEBHOOK % '"https://x.example/a\\r\\nb"', "people.duty.webhook.url", "begins with https://"),
        (MAIL % '"smtp.example\\r\\nQUIT"', "notify.mail.host", "not a name or address of a machine"),
        (MAIL % "'smtp..example'", "notify.mail.host", "not a name or address of a machine"),
        (MAIL % f"'{'x' * 64}.example'", "notify.mail.host", "not a name or address of a machine"),
        (MAIL % "'user@smtp.example'", "notify.mail.host", "not a name or address of a machine"),
        (
            "notify: {mail: {host: x, sender: 'a@b.example', username: 'müller', password_file: p}}",
            "notify.mail.username",
            "printable ASCII",
        ),
        ("notify: {mail: {host: x, sender: 'dïenst@b.example'}}", "notify.mail.sender", "not an e-mail address"),
        ("people: {duty: {email: 'dïenst@b.example'}}", "people.duty.email", "not an e-mail address"),
    ],
)
def test_finding_m5_what_could_never_be_sent_is_refused(write: Write, text: str, path: str, message: str) -> None:
    """Before anything runs, at its place in the configuration."""
    found = [each[1] for each in told(write(f"{SITE}{text}\n")) if message in each[2]]
    assert found == [path]


@pytest.mark.parametrize(
    "secret", [b"t\xe2\x82\xac", b"one\ntwo", b"one\r\nX-Other: two", b"\xff\xfe", b"", b" \n", b"a\0b"]
)
@pytest.mark.parametrize("key", ["token_file", "password_file"])
def test_finding_m5_a_secret_that_could_never_be_sent_is_refused(write: Write, key: str, secret: bytes) -> None:
    """A character outside of what the protocol takes, a line break, nothing: named by its place, never quoted."""
    where = {
        "token_file": ("people: {duty: {webhook: {url: 'https://x', token_file: s}}}", "people.duty.webhook"),
        "password_file": (
            "notify: {mail: {host: x, sender: a@b.example, username: u, password_file: s}}",
            "notify.mail",
        ),
    }
    text, section = where[key]
    path = write(f"{SITE}{text}\n")
    (path.parent / "s").write_bytes(secret)
    ((_, place, message),) = told(path)
    assert place == f"{section}.{key}"
    assert "one" not in message.replace("one line is wanted", "")


def test_finding_m5_a_mail_password_is_ascii_and_a_token_may_be_latin_1(write: Write) -> None:
    """As the login of a mail server and a header of HTTP take them."""
    for text, problems in (
        ("people: {duty: {webhook: {url: 'https://x', token_file: s}}}", 0),
        ("notify: {mail: {host: x, sender: a@b.example, username: u, password_file: s}}", 1),
    ):
        path = write(f"{SITE}{text}\n")
        (path.parent / "s").write_text("pässword\n", encoding="utf-8")
        assert len(told(path) if problems else ()) == problems
        if not problems:
            load(path)


def test_people_and_their_files_load(write: Write) -> None:
    """Files begin at the folder of the configuration."""
    path = write(
        f"{SITE}people: {{duty: {{email: d@x.example, webhook: {{url: 'https://x', token_file: t}}}}}}\n"
        "notify: {mail: {host: x, sender: a@b.example, username: u, password_file: p}}\n"
    )
    for name in ("t", "p"):
        (path.parent / name).write_text("secret\n")
    configuration = load(path)
    webhook, mail = configuration.people["duty"].webhook, configuration.notify.mail
    assert webhook is not None
    assert mail is not None
    assert (webhook.token_file, mail.password_file) == (path.parent / "t", path.parent / "p")


def test_everybody_who_is_named_is_known(write: Write) -> None:
    """In a list of notices, who is next, and whom alerts go to; each at its place."""
    notices = "[{on: findings, whom: duty, acknowledge: 10m, then: [dutty]}, {on: failure, whom: nobody}]"
    text = f"{SITE}{PEOPLE}alerts: {{to: [duty, dty]}}\nrules:{rule()}    notify: {notices}\n"
    assert [path for _, path, _ in told(write(text))] == [
        "alerts.to[1]",
        "rules[0].notify[0].then[0]",
        "rules[0].notify[1].whom",
    ]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("alerts: {too: duty}", "alerts.too", "to"),
        ("alerts: {for: soon}", "alerts.for", "soon"),
        ("alerts: {maintenance: [{between: [02:00]}]}", "alerts.maintenance[0].between", ""),
        ("heartbeat: {every: 5m}", "heartbeat", "needs url or file"),
        ("heartbeat: {url: watch.example}", "heartbeat.url", "begins with https://"),
        ("heartbeat: {file: nowhere/alive}", "heartbeat.file", "there is no folder"),
    ],
)
def test_slips_in_alerts_and_heartbeat(write: Write, text: str, path: str, words: str) -> None:
    """Each is refused at its place."""
    found = told(write(f"{SITE}{PEOPLE}{text}\n"))
    assert found[0][1].startswith(path)
    assert words in found[0][2]
