"""Each key of the configuration, changed: whom a reload asks to take it up, and that it asks nobody else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.app.reload import Reload
from node.config import in_force, loading
from node.config.from_values import validated
from node.config.in_force import InForce
from node.config.loading import LoadedConfiguration
from node.config.models import Configuration
from node.config.sections import Party, Section
from node.ledger.database import FILE, Ledger
from node.ledger.event_kinds import EventKind
from node.run import catalogue
from node.run.catalogue import Catalogue, Catalogues
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock

RETRY = {"first": "10s", "factor": 2, "longest": "15m", "give_up_after": "7d"}
TLS = {"authorities": "ca.pem", "certificate": "node.pem", "key": "node.key", "server_name": "a", "revoked": "crl.pem"}
BASE: dict[str, Any] = {
    "node": {
        "time_zone": "Asia/Seoul",
        "listen": {"tls": {"port": 2762, "certificate": "c", "key": "k", "authorities": "a", "revoked": "r"}},
    },
    "modalities": {
        "ct1": {
            "ae_title": "CT1",
            "certificate": {"subject": "commonName=CT1", "fingerprint": "ab" * 32},
            "storage_commitment": {"host": "ct1", "port": 104, "tls": {**TLS}, "commit_through": "pacs"},
        }
    },
    "destinations": {
        "pacs": {"ae_title": "PACS", "host": "10.0.0.9", "port": 104, "tls": {**TLS}, "on_identity_change": "adopt"},
        "web": {
            "kind": "dicomweb",
            "url": "https://web.example",
            "certificate": "node.pem",
            "key": "node.key",
            "username": "a",
            "password_file": "p",
            "oauth2": {"token_url": "https://t.example", "client_id": "a", "client_secret_file": "s"},
            "on_identity_change": "adopt",
        },
        "drop": {"kind": "folder", "folder": "out"},
    },
    "boxes": {"cad": {"ae_title": "CADBOX", "host": "10.0.0.20", "port": 104, "tls": {**TLS}}},
    "services": {"ai": {"url": "https://ai.example", "certificate": "node.pem", "key": "node.key"}},
    "plugins": {"lung-density": {}},
    "people": {"duty": {"email": "a@b.example", "webhook": {"url": "https://pager.example"}}},
    "console": {"port": 8, "tls": {"certificate": "c", "key": "k"}, "proxy": {"addresses": ["10.0.0.98"]}},
    "heartbeat": {"url": "https://other.example"},
    "notify": {"mail": {"host": "mail", "sender": "a@b.example", "username": "a", "password_file": "p"}},
    "backup": {"to": "/mnt/backup"},
    "audit": {"syslog": {"host": "log", "tls": {**TLS}}},
}
NEW_HOURS = {"closed": [{"between": ["08:00", "09:00"]}]}
NEW_RETRY = {"first": "11s", "factor": 3, "longest": "16m", "give_up_after": "8d"}
NEW_TLS = {
    "authorities": "ca2.pem",
    "certificate": "node2.pem",
    "key": "node2.key",
    "server_name": "b",
    "revoked": "crl2.pem",
}
NEW_FORM = {
    "sr_class": "enhanced",
    "character_set": "source",
    "sc_modality": "source",
    "language": "ko",
    "kinds": ["sr"],
    "send_when": {"findings": ["sr"]},
    "seg_form": "label-map",
    "sc_form": "multi-frame",
    "series_number_base": 8000,
    "revision_series_number": "same",
    "series_text": "chest",
    "transfer_syntax": "implicit",
    "pm_extent": "whole",
    "editable": True,
    "rejection_notes": True,
}
RULE = {"name": "chest", "when": {"Modality": "CT"}, "choose": {"take": "one"}, "run": "lung-density", "mode": "shadow"}
RECEIVERS, NODE, PEERS = Party.RECEIVERS, Party.NODE, Party.PEERS
CHANGES: dict[tuple[Party, ...], dict[str, Any]] = {
    (RECEIVERS, NODE, PEERS): {
        "node": {"ae_title": "OTHER"},
        "modalities": {"ct1": {"ae_title": "CT9"}},
        "destinations": {"pacs": {"ae_title": "PACS9", "host": "10.0.0.8"}},
        "boxes": {
            "cad": {"ae_title": "CAD9", "host": "10.0.0.21", "calling_ae_title": "AI9", "answering": ["CADOUT"]},
        },
        "plugins": {"lung-density": {"calling_ae_title": "AI8"}},
    },
    (RECEIVERS, NODE): {
        "node": {"logs": {"format": "json", "level": "debug"}, "limits": {"free_space": "1GiB"}},
    },
    (RECEIVERS, PEERS): {
        "node": {"durability": "os"},
        "modalities": {"ct1": {"storage_commitment": {"commit_through": "other"}}},
        "destinations": {"pacs": {"commitment": "require"}},
    },
    (RECEIVERS,): {
        "node": {
            "also_called": ["AI"],
            "listen": {
                "host": "127.0.0.1",
                "port": 104,
                "tls": {
                    "port": 2763,
                    "certificate": "c2",
                    "key": "k2",
                    "authorities": "a2",
                    "revoked": "r2",
                    "client_certificates": "optional",
                },
            },
            "receivers": 2,
            "accept": "any",
            "maximum_associations": 7,
            "limits": {"waiting_objects": 9},
        },
        "modalities": {
            "ct1": {
                "addresses": ["10.0.0.1"],
                "certificate": {"subject": "commonName=CT9", "fingerprint": "cd" * 32},
            }
        },
        "destinations": {"pacs": {"also_from": ["10.0.1.0/24"]}},
        "boxes": {"cad": {"also_from": ["10.0.1.0/24"]}},
    },
    (NODE, PEERS): {
        "audit": {"syslog": {"host": "log2", "port": 6515}},
        "destinations": {"pacs": {"port": 105}},
        "boxes": {"cad": {"port": 105, "timeout": "9s", "charged": True, "answers": "elsewhere"}},
        "services": {
            "ai": {
                "url": "https://other.example",
                "authorities": "ca2.pem",
                "certificate": "node2.pem",
                "key": "node2.key",
                "token_file": "token",
                "at_once": 9,
                "timeout": "9s",
                "transfer": "9m",
                "poll": "9s",
            }
        },
    },
    (NODE,): {
        "node": {
            "uids": "strict",
            "isolation": "off",
            "containers": "docker",
            "completion": {"quiet": "9s", "quiet_by_modality": {"MR": "9s"}, "max_wait": "9m"},
            "machine": {"cpus": 2, "memory": "9GiB", "gpus": [{"id": "0", "memory": "9GiB"}]},
        },
        "modalities": {"ct1": {"quiet": "9s", "character_set": "ISO_IR 192"}},
        "retention": {
            "unmatched": "9d",
            "images": "9d",
            "fetched": "9d",
            "results": "9d",
            "work": "9d",
            "facts": "9y",
            "events": "9y",
            "delivered_objects": "9y",
            "below": "9GiB",
            "first": ["work"],
            "at": "03:00",
            "until": "05:00",
        },
        "destinations": {"pacs": NEW_FORM, "web": NEW_FORM, "drop": NEW_FORM},
        "plugins": {
            "lung-density": {
                "folder": "mine",
                "isolation": "required",
                "allow": {
                    "network": ["models:443"],
                    "readable": ["models"],
                    "environment": {"REGION": "kr"},
                    "gpu": True,
                },
                "deadline": "9m",
                "memory": "1GiB",
                "at_once": 2,
                "attempts": 2,
                "resources": {"cpus": 1.5, "memory": "1GiB", "gpu": True, "gpu_memory": "1GiB"},
                "warm": {"jobs": 2, "idle": "9m"},
                "providers": ["CPUExecutionProvider"],
                "parameters": {"maximum_slice_mm": 3.0},
                "envelope": {"outside": "note", "unknown": "not_applicable"},
                "allowed_by": "Dr Kim",
            }
        },
        "stop_rules": {
            "lungs": {
                "plugin": "lung_density",
                "watch": "latency",
                "above": "6%",
                "longer_than": "9m",
                "jobs": 300,
                "then": "suspend",
            },
        },
        "people": {
            "duty": {
                "email": "c@d.example",
                "webhook": {
                    "url": "https://other.example",
                    "token_file": "token",
                    "authorities": "w.pem",
                    "timeout": "9s",
                },
            }
        },
        "alerts": {
            "to": ["duty"],
            "severity": "critical",
            "for": "9m",
            "repeat": "9h",
            "per_hour": 9,
            "maintenance": [{"days": ["sunday"]}],
        },
        "heartbeat": {
            "url": "https://watch.example",
            "authorities": "h.pem",
            "timeout": "9s",
            "file": "alive",
            "every": "9m",
        },
        "notify": {
            "accession_number": True,
            "language": "ko",
            "retry": NEW_RETRY,
            "mail": {
                "host": "mail2",
                "port": 465,
                "tls": "tls",
                "authorities": "m.pem",
                "sender": "c@d.example",
                "username": "c",
                "password_file": "p2",
                "timeout": "9s",
            },
        },
        "backup": {"to": "/mnt/other", "at": "04:15", "keep": 3},
        "audit": {"keep": "9y"},
        "ignore": [{"name": "research", "when": {"Modality": "MR"}}],
        "vendors": [{"manufacturer": "Other*"}],
        "rules": [RULE],
    },
    (PEERS,): {
        "modalities": {
            "ct1": {
                "storage_commitment": {
                    "host": "ct2",
                    "port": 105,
                    "tls": NEW_TLS,
                    "timeout": "9s",
                    "retry": NEW_RETRY,
                    "wait_for_archive": "9h",
                    "keep": "9d",
                }
            }
        },
        "boxes": {"cad": {"tls": NEW_TLS}},
        "audit": {"syslog": {"tls": NEW_TLS}},
        "destinations": {
            "pacs": {
                "calling_ae_title": "AI",
                "tls": NEW_TLS,
                "timeout": "9s",
                "retry": NEW_RETRY,
                "on_identity_change": "hold",
                "identity_check": "none",
                "wait_for_study": "9h",
                "commit_within": "9h",
                "associations": 3,
                "hours": NEW_HOURS,
            },
            "web": {
                "url": "https://other.example",
                "authorities": "ca2.pem",
                "certificate": "node2.pem",
                "key": "node2.key",
                "username": "b",
                "password_file": "p2",
                "token_file": "token",
                "oauth2": {
                    "token_url": "https://u.example",
                    "client_id": "b",
                    "client_secret_file": "s2",
                    "scope": "x",
                    "authorities": "ca2.pem",
                },
                "unencrypted": True,
                "timeout": "9s",
                "transfer": "9m",
                "retry": NEW_RETRY,
                "on_identity_change": "hold",
                "identity_check": "none",
                "wait_for_study": "9h",
                "associations": 3,
                "hours": NEW_HOURS,
            },
            "drop": {
                "folder": "other",
                "names": "{sop_instance_uid}.dcm",
                "retry": NEW_RETRY,
                "associations": 3,
                "hours": NEW_HOURS,
            },
        },
    },
    (Party.NEXT_START,): {
        "console": {
            "host": "::1",
            "port": 9,
            "names": ["pacsnode.example"],
            "tls": {"certificate": "c2", "key": "k2"},
            "launch_key": "launch.key",
            "idle": "9m",
            "language": "ko",
            "edit": False,
            "proxy": {
                "addresses": ["10.0.0.99"],
                "user_header": "X-User",
                "groups_header": "X-Groups",
                "groups": {"admin": ["it"]},
            },
        },
        "node": {"data": "other", "time_zone": "UTC", "jobs_at_once": 3, "reserved_for_urgent": 1},
    },
    (): {
        "destinations": {
            "pacs": {"audience": "evaluation", "preset": "any-pacs", "kind": "dicom"},
            "web": {"audience": "evaluation", "preset": "any-pacs", "kind": "dicomweb"},
            "drop": {
                "audience": "evaluation",
                "preset": "any-pacs",
                "kind": "folder",
                "identity_check": "none",
                "on_identity_change": "hold",
                "wait_for_study": "2h",
            },
        },
        "tests": [{"name": "a CT", "given": {"Modality": "CT"}, "expect": {"chest": "match"}}],
    },
}
"""By whom each key is taken up: a value that it does not have in `BASE`, nor by default, unless nobody takes it up."""


def keys(part: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each key that a section and the sections in it have."""
    if isinstance(part, Section):
        for name, value in part:
            yield from keys(value, (*path, type(part).model_fields[name].alias or name))
    elif isinstance(part, Mapping) and part and all(isinstance(each, Section) for each in part.values()):
        for name, value in part.items():
            yield from keys(value, (*path, name))
    else:
        yield path


CONFIGURATION = validated(BASE, Path("/site"))


def new_values() -> Iterator[tuple[frozenset[Party], tuple[str, ...], Any]]:
    """Who takes a key up, its path, and its other value."""
    for parties, values in CHANGES.items():
        for path in keys(CONFIGURATION):
            found: Any = values
            for step in path:
                found = found.get(step) if isinstance(found, dict) else None
            if found is not None:
                yield frozenset(parties), path, found


def test_every_key_is_in_the_table() -> None:
    """Once."""
    assert sorted(path for _, path, _ in new_values()) == sorted(keys(CONFIGURATION))


class Asked:
    """Whoever a reload asks to take something up."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.value = copy.deepcopy(BASE)
        self.config = folder / "config.yaml"
        self.config.touch()
        (folder / "data").mkdir()
        monkeypatch.setattr(loading, "read", lambda _: self.loaded())  # whether files are there is another matter
        self.plugin = catalogue.load({}, folder / "data").find("lung-density")
        monkeypatch.setattr(catalogue, "of", self.plugins)
        self.ledger = Ledger(folder / "data" / FILE)
        self.parties: set[Party] = set()
        running = InForce.of(self.loaded(), HandClock().now(), "hong")
        in_force.write(running)
        node = Node(self.ledger, DataFolder(folder / "data"), HandClock(), Wakes())
        self.reload = Reload(node, running, Catalogues(), self._take_up)
        self.reload.ask()
        self.reload.run_once()

    def loaded(self) -> LoadedConfiguration:
        """The file as it is now."""
        configuration = validated(self.value, self.config.parent)
        return LoadedConfiguration(self.config, configuration, copy.deepcopy(self.value), (self.config,), (), (), {})

    def plugins(self, configuration: Configuration) -> Catalogue:
        """Other plugins, where the configuration says something else of them."""
        site = configuration.plugins["lung-density"].model_dump()
        return Catalogue({"lung-density": replace(self.plugin, site_parameters=site)})

    def _take_up(self, wanted: InForce, parties: frozenset[Party]) -> None:
        self.parties |= parties - {Party.NEXT_START}
        in_force.write(wanted)

    def change(self, path: tuple[str, ...], new: Any) -> set[Party]:
        """Save another value of this key; who takes it up."""
        part = self.value
        for step in path[:-1]:
            part = part.setdefault(step, {})
        part[path[-1]] = new
        self.parties, before = set(), self.restarts()
        self.reload.ask()
        self.reload.run_once()
        return self.parties | ({Party.NEXT_START} if self.restarts() > before else set())

    def restarts(self) -> int:
        """How often it was said that something takes a restart."""
        return len(history.of_kind(self.ledger.database, EventKind.CONFIGURATION_NEEDS_RESTART))


def test_each_changed_key_is_taken_up_by_whom_it_declares_and_by_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is in force afterwards, for whoever is started next; but for what takes a restart, which stays as it was."""
    site = Asked(tmp_path, monkeypatch)
    late: list[tuple[str, ...]] = []
    for parties, path, new in new_values():
        if parties == {Party.NEXT_START}:
            late.append(path)
        assert (path, site.change(path, new)) == (path, parties)
    kept = in_force.read(tmp_path / "data" / in_force.FILE)
    wanted = json.loads(json.dumps(site.value))
    for *sections, key in late:
        part = wanted
        for section in sections:
            part = part[section]
        del part[key]
    wanted["node"]["time_zone"] = BASE["node"]["time_zone"]
    wanted["console"] = BASE["console"]
    assert kept.configuration.model_dump(exclude={"tests"}) == validated(wanted, tmp_path).model_dump(exclude={"tests"})
    assert history.of_kind(site.ledger.database, EventKind.CONFIGURATION_IN_FORCE)
