# SPDX-License-Identifier: EUPL-1.2
"""All verbs and their options, in one place: the docs are checked against it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from poorter import __version__
from poorter.cli import (
    backups,
    city,
    connecting,
    govern,
    history,
    leaving,
    ledger,
    loading,
    witness,
)
from poorter.identity.keys import USES

Run = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="poorter", description="The open city platform. Every use of data serves a goal."
    )
    parser.add_argument("--version", action="version", version=f"poorter {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _city_verbs(verbs)
    _backup_verbs(verbs)
    _leaving_verbs(verbs)
    _migrating_verb(verbs)
    _govern_verbs(verbs)
    _loading_verbs(verbs)
    _connecting_verbs(verbs)
    _ledger_verbs(verbs)
    return parser


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _verb(verbs: Verbs, name: str, text: str, run: Run) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.add_argument(
        "--city", type=Path, default=Path(), metavar="FOLDER", help="folder with city.toml (here)"
    )
    verb.set_defaults(run=run)
    return verb


def _city_verbs(verbs: Verbs) -> None:
    init = _verb(
        verbs, "init", "Found a city: settings, keys, two officers, first leaf.", city.init
    )
    init.add_argument("--id", default="city", help="short name in ids, letters and digits")
    init.add_argument("--name-nl", default="Onze stad", help="name in Dutch")
    init.add_argument("--name-en", default="Our city", help="name in English")
    init.add_argument("--body", default="Gemeenteraad", help="elected body that founds it")
    init.add_argument(
        "--officer", action="append", required=True, metavar="NAME", help="give it twice"
    )
    init.add_argument(
        "--store", default="", metavar="URL", help="PostgreSQL: postgresql://ROLE@HOST/DATABASE"
    )
    init.add_argument(
        "--store-owner", default="", metavar="URL", help="the same for the owner of its tables"
    )
    serve = _verb(verbs, "serve", "Run the city until it is stopped.", city.serve)
    serve.add_argument("--port", type=int, help="instead of server.port")
    demo = _verb(verbs, "demo", "Run the seeded example city.", city.demo)
    demo.add_argument("--port", type=int, default=8000, help="port to listen on")
    demo.add_argument("--seed", type=int, default=1, help="same seed, same events")
    of = _verb(
        verbs, "history", "What history takes on the disk; the city is stopped.", history.history
    )
    of.add_argument(
        "--compact", action="store_true", help="first bring what is old enough into columns"
    )


def _backup_verbs(verbs: Verbs) -> None:
    text = "Make a backup, also of a city that is being served; the keys are not in it."
    backup = _verb(verbs, "backup", text, backups.backup)
    backup.add_argument("target", type=Path, help="folder of backups: each gets one in it")
    text = "Put a backup in the place of the city's data, and verify it; the city is stopped."
    restore = _verb(verbs, "restore", text, backups.restoring)
    restore.add_argument("backups", type=Path, help="folder of backups, or one of them")
    restore.add_argument(
        "--at", metavar="MOMENT", help="the newest that is not of after it (2026-11-25T06:00:00Z)"
    )
    restore.add_argument("--check", action="store_true", help="only look whether it is whole")
    restore.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="the city's keys, where no city.toml says it"
    )
    known: dict[str, Any] = {"type": Path, "action": "append", "default": []}
    restore.add_argument(
        "--known",
        metavar="FILE",
        help="a checkpoint that a witness or visitor kept: the ledger must have it (repeatable)",
        **known,
    )
    restore.add_argument(
        "--mirror",
        metavar="FOLDER",
        help="a mirror of the ledger, for leaves that the backup lacks (repeatable)",
        **known,
    )
    text = "persons.db of a copy of the keys from before they were changed (poorter rotate persons)"
    restore.add_argument("--person-keys", type=Path, metavar="FILE", help=text)
    text = "go on without the persons whom no key here opens"
    restore.add_argument("--unreadable", action="store_true", help=text)


def _leaving_verbs(verbs: Verbs) -> None:
    text = "Write all that the city has in open formats, also while it is served; not its keys."
    export = _verb(verbs, "export", text, leaving.export)
    export.add_argument("folder", type=Path, help="a new folder")
    text = "Rebuild the city of an export where there is none, and prove that nothing differs."
    importing = _verb(verbs, "import", text, leaving.importing)
    importing.add_argument("folder", type=Path, help="the export")
    importing.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="the city's keys, where no city.toml says it"
    )


def _migrating_verb(verbs: Verbs) -> None:
    text = "Move the city into PostgreSQL, also while it is served, or, stopped, out of it again."
    migrate = _verb(verbs, "migrate", text, leaving.migrating)
    migrate.add_argument("to", help="postgresql://ROLE@HOST/DATABASE of an empty city, or files")
    migrate.add_argument("--owner", default="", help="the same for the owner of its tables")


def _govern_verbs(verbs: Verbs) -> None:
    _verb(verbs, "goals", "Goals, their votes, and what runs under them.", govern.goals)
    adopt = _verb(verbs, "adopt", "Record the vote that adopts a goal.", govern.adopt)
    adopt.add_argument("goal", help="id of the goal")
    adopt.add_argument("--body", required=True, help="who voted")
    adopt.add_argument("--date", required=True, help="ISO date of the vote")
    adopt.add_argument(
        "--votes", required=True, metavar="FOR:AGAINST", help="how they fell, as 21:12"
    )
    adopt.add_argument("--by", required=True, help="officer who records it")
    rescind = _verb(verbs, "rescind", "End a goal and all that runs under it.", govern.rescind)
    rescind.add_argument("goal", help="id of the goal")
    rescind.add_argument("--by", required=True, help="officer who records it")
    officer = _verb(verbs, "officer", "Add an officer, or set a new password.", govern.officer)
    officer.add_argument("name", help="to log in with")
    officer.add_argument("--office", default="Meldkamer", help="for which they work (Meldkamer)")
    officer.add_argument(
        "--login", default="", metavar="PROVIDER:NAME", help="logs in there, without a password"
    )
    officer.add_argument(
        "--role",
        action="append",
        metavar="ROLE",
        help="operator, officer, clerk or desk (repeatable)",
    )
    key = _verb(verbs, "key", "Make a key for an app, bound to one purpose.", govern.key)
    key.add_argument("processor", help="who gets it; must be in the policy")
    key.add_argument("purpose", help="the one purpose it is for")
    key.add_argument("--days", type=int, default=365, help="valid so long")
    renew = _verb(verbs, "renew", "A new key in place of one; both work for a while.", govern.renew)
    renew.add_argument("id", help="the part of the old key between the underscores")
    renew.add_argument("--overlap-days", type=int, default=7, help="the old one works so long (7)")
    certificate = _verb(
        verbs, "certificate", "Register an app's client certificate.", govern.certificate
    )
    certificate.add_argument("processor", help="whose it is; must be in the policy")
    certificate.add_argument("purpose", help="the one purpose it is for")
    certificate.add_argument("file", type=Path, help="the certificate, PEM")
    revoke = _verb(verbs, "revoke", "Take a key or certificate back.", govern.revoke)
    revoke.add_argument("id", help="the part of the key between the underscores")
    grant = _verb(verbs, "grant", "Let a processor do something with a dataset.", govern.grant)
    grant.add_argument("processor", help="new or known")
    grant.add_argument("purpose", help="the purpose it is for")
    grant.add_argument("dataset", help="what it may touch")
    grant.add_argument("actions", help="comma separated: read, write, command")
    grant.add_argument("--days", type=int, default=365, help="valid so long")
    text = "a life may depend on it: it goes on while the ledger can't write (docs/ledger.md)"
    grant.add_argument("--vital", action="store_true", help=text)
    approved: dict[str, Any] = {
        "action": "append",
        "required": True,
        "metavar": "OFFICER",
        "help": "give it twice",
    }
    grant.add_argument("--approved-by", **approved)
    systems = _verb(
        verbs, "systems", "Bring the policy up to systems.enabled in city.toml.", govern.systems
    )
    systems.add_argument("--approved-by", **approved)
    text = "Bring an older city up to this release; starting it does so too, this says what came."
    _verb(verbs, "upgrade", text, govern.upgrade)
    _verb(verbs, "keys", "The city's own keys, their days, and what is wrong.", govern.keys)
    _rotating_verb(verbs)


def _rotating_verb(verbs: Verbs) -> None:
    text = (
        "Replace a signing key by a new one, the keys of all persons, or the one by which a wall "
        "names its rows: every purpose then sees other ids."
    )
    rotate = _verb(verbs, "rotate", text, govern.rotate)
    rotate.add_argument("use", choices=[*USES, *govern.NO_SIGNING], help="which of the keys")
    rotate.add_argument("--wall", help="pseudonyms: the wall whose rows get other names")
    text = f"pseudonyms: so long the ids of before lead to their rows, 0 to {govern.DAYS_MAX}"
    rotate.add_argument("--days", type=int, default=30, help=text)


def _loading_verbs(verbs: Verbs) -> None:
    load = _verb(verbs, "load", "Load a file of readings or things by a map.", loading.load)
    load.add_argument("file", type=Path, help="the file to load")
    load.add_argument("--map", required=True, metavar="MAP", help="a file, or the name of a map")
    load.add_argument(
        "--rejects", type=Path, help="where refused rows go (FILE.rejects.csv beside city.toml)"
    )
    load.add_argument("--quiet", action="store_true", help="no progress bar")
    _verb(verbs, "maps", "The maps that come with Poorter.", loading.maps)


def _connecting_verbs(verbs: Verbs) -> None:
    _verb(verbs, "connections", "Check the files in connections/ and list them.", connecting.listed)
    device = _verb(verbs, "device", "Register a device on the city's broker.", connecting.device)
    device.add_argument("name", help="letters, digits, dots, dashes; its topics hold it")
    device.add_argument("--revoke", action="store_true", help="take its key back instead")
    broker = _verb(
        verbs,
        "broker",
        "Write Mosquitto's passwords and rules: each device on its own topics only.",
        connecting.broker,
    )
    broker.add_argument("folder", type=Path, help="where they go; include poorter.conf from there")
    broker.add_argument(
        "--key-file", type=Path, default=Path("keys/broker"), help="the city's own password there"
    )


def _ledger_verbs(verbs: Verbs) -> None:
    text = "Verify the whole ledger against its keys, print them, or mirror another's ledger."
    verb = _verb(verbs, "ledger", text, ledger.ledger)
    verb.add_argument("what", choices=["verify", "keys", "mirror"], help="what to do")
    verb.add_argument("--url", default="", help="where the ledger is (https://city.example/ledger)")
    verb.add_argument("--into", type=Path, metavar="FOLDER", help="mirror: where the copy is kept")
    verb.add_argument(
        "--trust", type=Path, metavar="FILE", help="mirror: its keys and witnesses (tlog-policy)"
    )
    verb.add_argument(
        "--known",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint kept from earlier: the tree must extend it (repeatable)",
    )
    text = "A witness of ledgers, as a process of its own: make its key, or run it."
    of = _verb(verbs, "witness", text, witness.witness)
    of.add_argument("what", choices=["make", "run"], help="what to do")
    of.add_argument("folder", type=Path, help="its keys, and what it saw")
    of.add_argument("--name", default="", help="make: its name (witness.example/city)")
    of.add_argument("--url", default="", help="make: where it will be reached")
    of.add_argument(
        "--trust", type=Path, metavar="FILE", help="run: the logs it knows (tlog-policy)"
    )
    of.add_argument("--host", default="127.0.0.1", help="run: address to listen on")
    of.add_argument("--port", type=int, default=8100, help="run: port to listen on")
    text = "Verify a receipt, or what a resident took home, offline."
    verify = _verb(verbs, "verify", text, ledger.verify_file)
    verify.add_argument("file", type=Path, help="the receipt (.tlog-proof) or the evidence (.json)")
    text = "keys and witnesses to believe (tlog-policy; see ledger keys)"
    verify.add_argument("--trust", type=Path, metavar="FILE", help=text)
    verify.add_argument("--keys", type=Path, help="the city's public keys (keys/ring.json)")
    verify.add_argument("--origin", help="name of the ledger, instead of that in city.toml")
