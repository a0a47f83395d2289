"""config.yaml → Configuration, or every problem with its place."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from node.config.destinations import dicom_destinations
from node.config.loading import load
from node.config.problems import ConfigurationError
from tests.support.dimse.certificates import lock, signed_by_itself
from tests.support.sites.configurations import SITE, Write, problems, rule, told

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_works_as_it_stands() -> None:
    """config.example.yaml loads, and its rule runs the built-in plugin for a PACS."""
    configuration = load(ROOT / "config.example.yaml")
    [found] = configuration.rules
    assert [step.plugin for step in found.run] == ["lung-density"]
    assert found.send == ("pacs",)
    assert configuration.node.data == ROOT / "data"


def test_values_become_what_they_mean(write: Write) -> None:
    """Durations, networks, defaults."""
    configuration = load(
        write(SITE + "modalities:\n  ct1: {ae_title: ' CT1 ', addresses: [10.1.2.3, 10.1.4.0/24], quiet: 90s}\n")
    )
    ct1 = configuration.modalities["ct1"]
    assert ct1.ae_title == "CT1"
    assert ct1.quiet == timedelta(seconds=90)
    assert ct1.addresses == (IPv4Network("10.1.2.3/32"), IPv4Network("10.1.4.0/24"))
    assert configuration.node.listen.port == 11112
    assert configuration.rules == ()


def test_relative_paths_begin_at_the_folder_of_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the command is called: data, plugin folders and TLS files are beside config.yaml."""
    tls = "{port: 2762, certificate: a.pem, key: a.key, client_certificates: none}"
    path = write(SITE.replace("Asia/Seoul", f"Asia/Seoul\n  listen: {{tls: {tls}}}"))
    signed_by_itself(path.parent, "a")
    monkeypatch.chdir("/")
    configuration = load(path)
    assert configuration.node.data == path.parent / "data"
    assert configuration.plugins["mine"].folder == path.parent / "mine"
    assert configuration.node.listen.tls is not None
    assert configuration.node.listen.tls.certificate == path.parent / "a.pem"


def test_a_certificate_that_is_none_and_one_with_another_key_are_told(write: Write) -> None:
    """Before any receiver stumbles over them."""
    tls = "{port: 2762, certificate: a.pem, key: b.key, authorities: ca.pem}"
    path = write(f"node: {{time_zone: UTC, listen: {{tls: {tls}}}}}\n")
    for name in ("a", "b"):
        signed_by_itself(path.parent, name)
    (path.parent / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    first, second = caught.value.problems
    assert (first.yaml_path, second.yaml_path) == ("node.listen.tls.certificate", "node.listen.tls.authorities")
    assert "cannot be used together: key values mismatch" in first.message
    (path.parent / "a.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match="cannot be used together: not PEM"):
        load(path)


def test_a_section_with_everything_commented_out_is_empty(write: Write) -> None:
    """`modalities:` alone, and `lung-density:` alone for a built-in plugin's defaults."""
    configuration = load(
        write("node: {time_zone: UTC}\nmodalities:\ndestinations:\nplugins:\n  lung-density:\nrules:\n")
    )
    assert configuration.modalities == {}
    assert configuration.plugins["lung-density"].attempts == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("destinations: {}\n", (1, "", 'the key "node" is missing')),
        ("- a\n", (1, "", "expected sections: node, modalities, destinations, …")),
        ("node: {}\n", (1, "node", 'the key "time_zone" is missing')),
        (
            "node: {time_zone: UTC, lsiten: {}}\n",
            (1, "node.lsiten", 'there is no key "lsiten" here → listen'),
        ),
        (
            "node: {time_zone: UTC}\nrule: []\n",
            (2, "rule", 'there is no key "rule" here → rules'),
        ),
        (
            "node: {time_zone: Asia/Soul}\n",
            (1, "node.time_zone", "'Asia/Soul' is not an IANA time zone name, as in Asia/Seoul or Europe/Berlin"),
        ),
        (
            "node: {time_zone: Asia}\n",
            (1, "node.time_zone", "'Asia' is not an IANA time zone name, as in Asia/Seoul or Europe/Berlin"),
        ),
        (
            "node: {time_zone: right/UTC}\n",
            (1, "node.time_zone", "'right/UTC' is not an IANA time zone name, as in Asia/Seoul or Europe/Berlin"),
        ),
        (
            "node: {time_zone: ../UTC}\n",
            (1, "node.time_zone", "'../UTC' is not an IANA time zone name, as in Asia/Seoul or Europe/Berlin"),
        ),
        (
            "node: {time_zone: UTC, durability: fsnyc}\n",
            (1, "node.durability", 'expected "fsync" or "os", got "fsnyc" → fsync'),
        ),
        (
            "node: {time_zone: UTC, listen: {port: 70000}}\n",
            (1, "node.listen.port", "expected at most 65535, got 70000"),
        ),
        (
            "node: {time_zone: UTC, listen: {port: off}}\n",
            (1, "node.listen", "port: off needs tls, or the node would listen nowhere"),
        ),
        (
            "node: {time_zone: UTC, listen: {port: none}}\n",
            (1, "node.listen.port", 'expected a port number or off, got "none"'),
        ),
        (
            "node: {time_zone: UTC, listen: }\n",
            (1, "node.listen", "is empty; expected a section of key: value"),
        ),
        (
            "node: {time_zone: UTC, completion: {quiet: 60}}\n",
            (
                1,
                "node.completion.quiet",
                "60 is not a duration: write a number and its unit (ms, s, m, h, d or y), as in 60s or 5m",
            ),
        ),
        (
            "node: {time_zone: UTC, completion: {quiet_by_modality: {MRI: 5m}}}\n",
            (
                1,
                "node.completion.quiet_by_modality.MRI",
                '"MRI" is not a Modality (PS3.3 C.7.3.1.1.1) → MR',
            ),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: 123}\n",
            (3, "modalities.a.ae_title", "expected a text; put it in quotes, got 123"),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1}\n  b: {ae_title: CT1}\n",
            (4, "modalities.b.ae_title", 'the AE title "CT1" is "a" already: nothing would tell the two apart'),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1, addresses: [10.0.0.1/24]}\n",
            (
                3,
                "modalities.a.addresses[0]",
                '"10.0.0.1/24" is not an address or network: write 10.1.2.3 or 10.1.2.0/24 (after the prefix all bits'
                " are zero)",
            ),
        ),
        (
            'node: {time_zone: UTC}\nmodalities:\n  "a b": {ae_title: CT1}\n',
            (
                3,
                "modalities.a b",
                '"a b" is not a name: letters, digits, _ . and -, at most 63, the first a letter or digit',
            ),
        ),
        (
            "node: {time_zone: UTC}\ndestinations:\n  p: {ae_title: P, host: localhost, port: 11112}\n",
            (3, "destinations.p.port", "localhost:11112 is this node itself; name the PACS"),
        ),
        (
            "node: {time_zone: UTC, listen: {port: 4100, tls: {port: 4100, certificate: plugin, key: plugin, "
            "client_certificates: none}}}\n",
            (1, "node.listen.tls.port", "TLS needs a port of its own"),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1, certificate: {subject: commonName=ct1}}\n",
            (
                3,
                "modalities.a.certificate",
                "it could never associate: no TLS port asks for certificates (node.listen.tls)",
            ),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1, character_set: ISO_IR 149}\n",
            (
                3,
                "modalities.a.character_set",
                "'ISO_IR 149' is not a Specific Character Set (PS3.3 C.12.1.1.2): did you mean ISO 2022 IR 149?",
            ),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1, character_set: ASCII}\n",
            (
                3,
                "modalities.a.character_set",
                "'ASCII' is not a Specific Character Set (PS3.3 C.12.1.1.2): "
                "as in ISO_IR 192 (UTF-8), ISO_IR 100 (Latin-1) or ISO 2022 IR 149 (EUC-KR)",
            ),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1, certificate: {}}\n",
            (3, "modalities.a.certificate", "a certificate needs its subject or its fingerprint"),
        ),
        (
            "node: {time_zone: UTC}\nmodalities:\n  a: {ae_title: CT1, certificate: {fingerprint: abc}}\n",
            (
                3,
                "modalities.a.certificate.fingerprint",
                "'abc' is not a SHA-256 fingerprint: 64 hexadecimal digits, as `openssl x509 -noout -fingerprint"
                " -sha256` prints them",
            ),
        ),
        (
            "node: {time_zone: UTC}\ndestinations:\n"
            "  p: {ae_title: P, host: pacs, port: 2762, tls: {authorities: plugin, key: plugin}}\n",
            (3, "destinations.p.tls", "certificate and key go together"),
        ),
        (
            "node: {time_zone: UTC}\nplugins:\n  lung-densty: {}\n",
            (
                3,
                "plugins.lung-densty",
                'there is no built-in plugin "lung-densty"; a plugin of your own needs folder: with its plugin.toml'
                " → lung-density",
            ),
        ),
    ],
)
def test_a_problem_is_told_with_line_path_and_what_was_meant(
    write: Write, text: str, expected: tuple[int, str, str]
) -> None:
    """One wrong thing each."""
    path = write(text)
    (path.parent / "plugin").touch()
    assert expected in told(path)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (rule(run="mien"), ("rules[0].run", 'there is no plugin "mien" → mine')),
        (rule(run="[{plugin: mien}]"), ("rules[0].run[0].plugin", 'there is no plugin "mien" → mine')),
        (rule(send="pasc"), ("rules[0].send", 'there is no destination "pasc" → pacs')),
        (rule(send="[pacs, pasc]"), ("rules[0].send[1]", 'there is no destination "pasc" → pacs')),
        (
            rule(mode="shadow"),
            (
                "rules[0].send",
                'mode shadow is not for readers: "pacs" needs audience: evaluation, or the rule mode: pilot',
            ),
        ),
        (rule(mode="pilt"), ("rules[0].mode", "'pilt' is none of 'shadow', 'pilot' or 'clinical' → pilot")),
        (
            rule(run="{plugin: mine, parameters: {treshold: 1.0}}"),
            (
                "rules[0].run.parameters.treshold",
                "parameter 'treshold': mine has no such parameter",
            ),
        ),
        (
            rule(run="{plugin: mine, parameters: {threshold: 2}}"),
            ("rules[0].run.parameters.threshold", "parameter 'threshold': 2.0 is above 1.0"),
        ),
        (
            rule().replace("{Modality: CT}\n", "{Modalty: CT}\n", 1),
            ("rules[0].when.Modalty", "there is no DICOM keyword Modalty → Modality"),
        ),
    ],
)
def test_a_rule_is_held_against_plugins_destinations_and_the_dicom_dictionary(
    write: Write, entry: str, expected: tuple[str, str]
) -> None:
    """A rule can only name what is there."""
    [(_, path, message)] = told(write(f"{SITE}rules:{entry}"))
    assert path == expected[0]
    assert message.startswith(expected[1])


def test_the_place_of_a_problem_is_the_value_itself(write: Write) -> None:
    """Line, column, width: the caret stands under the plugin's name."""
    [problem] = problems(write(f"{SITE}rules:{rule(run='mien')}"))
    place = problem.place
    assert place.source[place.column - 1 : place.column - 1 + place.width] == "mien"


def test_all_problems_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    """Shape, contradictions between sections and rules, together."""
    entry = rule(run="nothing-near", send="nowhere").replace("mode: pilot", "mode: pilot\n    prioritty: high")
    path = write(SITE.replace("port: 104", "port: high") + f"rules:{entry}")
    assert [(line, yaml_path) for line, yaml_path, _ in told(path)] == [
        (4, "destinations.pacs.port"),
        (12, "rules[0].run"),
        (13, "rules[0].send"),
        (15, "rules[0].prioritty"),
    ]


def test_shadow_may_send_to_an_audience_of_evaluation(write: Write) -> None:
    """Who evaluates gets results that no reader sees."""
    assert told(write(f"{SITE}rules:{rule(mode='shadow', send='research')}")) == []


def test_two_rules_with_one_name_are_refused(write: Write) -> None:
    """Jobs and decisions are kept by the rule's name."""
    [(line, path, message)] = told(write(f"{SITE}rules:{rule()}{rule()}"))
    assert (line, path) == (16, "rules[1].name")
    assert message.startswith('a rule is called "r1" already, in ')


def test_a_built_in_plugin_needs_no_entry(write: Write) -> None:
    """`run: lung-density`, also written with an underscore."""
    assert told(write(f"{SITE}rules:{rule(run='lung-density')}")) == []
    assert told(write(f"{SITE}rules:{rule(run='lung_density')}")) == []


def test_a_broken_manifest_is_told_once(write: Write) -> None:
    """With the manifest's own file and key."""
    path = write(f"{SITE}rules:{rule()}")
    (path.parent / "mine" / "plugin.toml").write_text("schema = 2\n")
    [(line, yaml_path, message)] = told(path)
    assert (line, yaml_path) == (7, "plugins.mine")
    assert "plugin.toml:1: schema: expected 1" in message


def test_the_files_of_tls_to_a_destination_are_looked_for_beside_the_configuration(write: Write) -> None:
    """Absolute once loaded; one that is not there is told."""
    path = write(
        "node: {time_zone: UTC}\ndestinations:\n"
        "  p: {ae_title: P, host: pacs, port: 2762, tls: {authorities: ca.pem}}\n"
    )
    missing = path.parent / "ca.pem"
    assert (3, "destinations.p.tls.authorities", f"there is no file {missing.resolve()}") in told(path)
    signed_by_itself(path.parent, "ca")
    [destination] = dicom_destinations(load(path).destinations).values()
    tls = destination.tls
    assert tls is not None
    assert tls.authorities == missing


@pytest.mark.parametrize("where", ["listen", "destination", "storage_commitment"])
def test_finding_m11_a_key_with_a_passphrase_is_a_problem_and_asks_nobody(write: Write, where: str) -> None:
    """Wherever a key is named: with a terminal the TLS library would ask for it, and wait."""
    path = write("")
    certificate, key = signed_by_itself(path.parent, "a")
    lock(key)
    tls = f"tls: {{certificate: {certificate.name}, key: {key.name}, authorities: {certificate.name}}}"
    peer = f"ae_title: P, host: pacs, port: 2762, {tls}"
    text, place = {
        "listen": (f"node: {{time_zone: UTC, listen: {{{tls.replace('{', '{port: 2762, ')}}}}}", "node.listen"),
        "destination": (f"node: {{time_zone: UTC}}\ndestinations: {{p: {{{peer}}}}}", "destinations.p"),
        "storage_commitment": (
            f"node: {{time_zone: UTC}}\nmodalities: {{m: {{ae_title: M, storage_commitment: {{{peer[13:]}}}}}}}",
            "modalities.m.storage_commitment",
        ),
    }[where]
    [(_, found, message)] = told(write(text + "\n"))
    assert found == f"{place}.tls.key"
    assert f"the key {key} has a passphrase" in message


def test_finding_m11_files_of_tls_to_a_destination_have_to_fit(write: Write) -> None:
    """As those of our own port: else the first result would find out."""
    path = write("")
    signed_by_itself(path.parent, "a")
    signed_by_itself(path.parent, "b")
    (path.parent / "ca.pem").write_text("nothing")
    tls = "tls: {authorities: ca.pem, certificate: a.pem, key: b.key}"
    text = f"node: {{time_zone: UTC}}\ndestinations: {{p: {{ae_title: P, host: pacs, port: 2762, {tls}}}}}\n"
    first, second = told(write(text))
    assert (first[1], second[1]) == ("destinations.p.tls.authorities", "destinations.p.tls.certificate")
    assert "key values mismatch" in second[2]
