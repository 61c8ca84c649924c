# SPDX-License-Identifier: EUPL-1.2
"""Goals, officers, keys and grants from the command line, while the city is not served.

A served city is governed on its own pages; the store has one writer.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from poorter.city.clock import SystemClock
from poorter.city.errors import Invalid, Unavailable
from poorter.city.text import Text
from poorter.city.time import DAY_US, format_us
from poorter.config import Config, read_config
from poorter.founding import add_systems
from poorter.gate.lawful import GRANTED, INTERNAL
from poorter.gate.policy import Grant, Processor, Vote
from poorter.identity.keys import look_over, read_ring, rotate_key
from poorter.identity.passwords import NO_PASSWORD, hash_password
from poorter.identity.sessions import Officer
from poorter.offices.keys import make_certificate, make_key, replace_key, revoke_key
from poorter.offices.people import check_login
from poorter.offices.record import officer_of, write
from poorter.running import Running, open_city
from poorter.store.contract import PutRecord
from poorter.store.walls.naming import WallKeys
from poorter.store.walls.vault import FILE as PERSONS_FILE
from poorter.store.walls.vault import Vault

#: who governs from the command line is whoever may run it on the city's machine
BY = "command line"
#: no signing keys, but those under which rows of persons are sealed, and those that name the rows
PERSONS, PSEUDONYMS = NO_SIGNING = ("persons", "pseudonyms")
#: how long ids of before may lead to their rows
DAYS_MAX = 366


def with_city(arguments: argparse.Namespace, work: Callable[[Running], Awaitable[None]]) -> int:
    """Do `work` with the city that the arguments name, then close it; 0."""

    async def run() -> None:
        running = await open_city(read_config(arguments.city), SystemClock())
        try:
            await work(running)
        finally:
            running.close()

    asyncio.run(run())
    return 0


def goals(arguments: argparse.Namespace) -> int:
    """List goals, their votes and purposes."""

    async def work(running: Running) -> None:
        policy = running.gate.policy
        for goal in policy.goals.values():
            vote = goal.vote
            state = "not adopted: nothing runs under it"
            if vote is not None:
                state = f"adopted {vote.date} by {vote.body}, {vote.votes_for}:{vote.votes_against}"
            if goal.rescinded_at_us is not None:
                state = "rescinded"
            print(f"{goal.id}: {goal.title.en} ({state})")
            for purpose in policy.purposes.values():
                if purpose.goal == goal.id:
                    print(f"  {purpose.id}: {purpose.title.en} ({purpose.legal_basis})")

    return with_city(arguments, work)


def adopt(arguments: argparse.Namespace) -> int:
    """Record a vote."""
    votes = arguments.votes.split(":")
    if len(votes) != 2 or not all(vote.isdecimal() for vote in votes):
        raise Invalid("--votes reads FOR:AGAINST, as in 21:12")
    vote = Vote(arguments.body, arguments.date, int(votes[0]), int(votes[1]))

    async def work(running: Running) -> None:
        await _known_officer(running, arguments.by)
        await running.registry.adopt(arguments.goal, vote, arguments.by)
        print(f"{arguments.goal} is adopted; policy version {running.gate.policy.version}")

    return with_city(arguments, work)


def rescind(arguments: argparse.Namespace) -> int:
    """End a goal."""

    async def work(running: Running) -> None:
        await _known_officer(running, arguments.by)
        await running.registry.rescind(arguments.goal, arguments.by)
        print(f"{arguments.goal} is rescinded; nothing runs under it any more")

    return with_city(arguments, work)


def grant(arguments: argparse.Namespace) -> int:
    """Add a grant, and its processor when it is new."""
    if len(arguments.approved_by) != 2:
        raise Invalid("a grant needs two approvals: --approved-by A --approved-by B")
    actions = tuple(arguments.actions.split(","))
    known = arguments.processor in GRANTED and actions == ("read",)
    if arguments.processor.startswith(INTERNAL) and not known:
        raise Invalid(f"{arguments.processor} is the city's own background work")

    async def work(running: Running) -> None:
        for name in arguments.approved_by:
            await _known_officer(running, name)
        parts: list[Processor | Grant] = []
        who = arguments.processor
        if who not in running.gate.policy.processors:
            parts.append(Processor(who, Text(who, who), who))
        until_us = running.clock.now_us() + arguments.days * DAY_US
        grant_id = f"{who}.{arguments.purpose}.{arguments.dataset}.{'-'.join(actions)}"
        approvals = (arguments.approved_by[0], arguments.approved_by[1])
        parts.append(
            Grant(
                grant_id,
                who,
                arguments.purpose,
                arguments.dataset,
                actions,
                approvals,
                until_us=until_us,
                vital=arguments.vital,
            )
        )
        await running.registry.put(parts, arguments.approved_by[0], "granted")
        print(f"{grant_id} until {arguments.days} days from now")

    return with_city(arguments, work)


def officer(arguments: argparse.Namespace) -> int:
    """Add an officer or set a new password, shown once."""
    password = secrets.token_urlsafe(12)
    roles = tuple(arguments.role or ("operator",))
    at, _, login = arguments.login.partition(":")
    kept_password = NO_PASSWORD if at else hash_password(password)
    kept = Officer(arguments.name, arguments.office, roles, kept_password, at, login)

    async def work(running: Running) -> None:
        if at:
            check_login(running, arguments.name, (at, login))
        record = PutRecord("officer", arguments.name, kept.to_doc())
        await write(running, BY, f"officer {arguments.name}", "set", record)
        print(f"{arguments.name}: " + (f"logs in at {at}" if at else f"{password}   (shown once)"))

    return with_city(arguments, work)


def key(arguments: argparse.Namespace) -> int:
    """Make a key for an app, shown once."""

    async def work(running: Running) -> None:
        _, secret = await make_key(
            running, arguments.processor, arguments.purpose, arguments.days, BY
        )
        print(f"{secret}   (shown once)")

    return with_city(arguments, work)


def renew(arguments: argparse.Namespace) -> int:
    """A new key in place of one, shown once."""

    async def work(running: Running) -> None:
        _, secret = await replace_key(running, arguments.id, arguments.overlap_days, BY)
        print(f"{secret}   (shown once; the old key works {arguments.overlap_days} days longer)")

    return with_city(arguments, work)


def certificate(arguments: argparse.Namespace) -> int:
    """Register a client certificate."""
    try:
        pem = arguments.file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{arguments.file}: {type(wrong).__name__}") from None

    async def work(running: Running) -> None:
        kept = await make_certificate(running, arguments.processor, arguments.purpose, pem, BY)
        print(f"{kept.id} is registered; take it back with: poorter revoke {kept.id}")

    return with_city(arguments, work)


def revoke(arguments: argparse.Namespace) -> int:
    """Take a key back."""

    async def work(running: Running) -> None:
        await revoke_key(running, arguments.id, BY)
        print(f"{arguments.id} is revoked")

    return with_city(arguments, work)


def rotate(arguments: argparse.Namespace) -> int:
    """A new signing key; a new policy key signs the policy anew at once. Or other keys for all
    persons, or another one to name the rows of a wall; these also while the city is served."""
    config = read_config(arguments.city)
    if arguments.use == PERSONS:
        return _rotate_persons(arguments, config)
    if arguments.use == PSEUDONYMS:
        return _rotate_pseudonyms(arguments, config)
    now_us = SystemClock().now_us()
    entry = rotate_key(config.paths_keys, arguments.use, config.ledger_origin, now_us)
    if arguments.use == "policy":

        async def work(running: Running) -> None:
            await running.registry.put([], "rotation", "new key")

        with_city(arguments, work)
    print(f"{entry.name} signs for {arguments.use} from now on; the old key still verifies")
    return 0


def _rotate_persons(arguments: argparse.Namespace, config: Config) -> int:
    """Mark them; who serves the city does the work, else it is done here."""
    vault = Vault(config.paths_keys)
    number = vault.begin_rotation()
    vault.close()

    async def work(running: Running) -> None:
        while await running.people.rotating.step(settle_us=0):
            pass
        print("done: nothing is sealed under an old key any more")

    print(f"{number} keys of persons are due to change")
    print("make a new backup afterwards: an older one opens with the old keys only")
    return _here_or_there(arguments, work)


def _rotate_pseudonyms(arguments: argparse.Namespace, config: Config) -> int:
    """Mark the wall; the same."""
    wall, days = arguments.wall or "", arguments.days
    names = {file.stem.removeprefix("pseudonyms-") for file in _named(config)}
    if wall not in names:
        raise Invalid(f"--wall names one whose rows have names: {', '.join(sorted(names)) or '-'}")
    if not 0 <= days <= DAYS_MAX:
        raise Invalid(f"--days is 0 to {DAYS_MAX}")
    keys = WallKeys(config.paths_keys)
    keys.order(wall, days, SystemClock().now_us())
    keys.close()

    async def work(running: Running) -> None:
        await running.people.renaming.step()
        print(f"done: from now on every purpose behind {wall} sees other ids")

    print(f"the key by which {wall} names its rows is due to change")
    print("what is kept stays: history, consents, the ledger, what is left of budgets")
    if days:
        print(f"ids that apps know lead to their rows {days} days longer; answers have new ones")
    else:
        print("ids that apps know lead to nothing from then on: they ask for their rows anew")
    print("copy the keys again afterwards: an older copy gives rows the names they had")
    return _here_or_there(arguments, work)


def _named(config: Config) -> Iterable[Path]:
    """The mark of each wall whose rows have names."""
    return config.paths_keys.glob("pseudonyms-*.mark")


def _here_or_there(
    arguments: argparse.Namespace, work: Callable[[Running], Awaitable[None]]
) -> int:
    """Do what was ordered, unless whoever serves the city will."""
    try:
        return with_city(arguments, work)
    except Unavailable as wrong:
        if "in use by" not in wrong.detail:
            raise
        print("the city is being served: it does the work from now on (poorter keys)")
        return 0


def keys(arguments: argparse.Namespace) -> int:
    """The city's own keys, their days, and what is wrong with them."""
    config = read_config(arguments.city)
    for entry in read_ring(config.paths_keys):
        until = "in use" if entry.until_us is None else f"retired {format_us(entry.until_us)}"
        print(f"{entry.use}: since {format_us(entry.since_us)}, {until}")
    if (config.paths_keys / PERSONS_FILE).exists():
        vault = Vault(config.paths_keys)
        print(f"persons: {vault.left()} keys are being changed")
        vault.close()
    names = WallKeys(config.paths_keys)
    for wall, _ in names.due():
        print(f"pseudonyms of {wall}: due to change")
    for changed in names.kept():
        until = format_us(changed.until_us)
        print(f"pseudonyms of {changed.wall}: those of before lead to their rows until {until}")
    names.close()
    wrong = look_over(config.paths_keys)
    print("\n".join(wrong) or "all there, and private")
    return 1 if wrong else 0


def systems(arguments: argparse.Namespace) -> int:
    """Goals, purposes, datasets and grants of systems that were enabled since."""
    if len(arguments.approved_by) != 2:
        raise Invalid("grants need two approvals: --approved-by A --approved-by B")
    approvals = (arguments.approved_by[0], arguments.approved_by[1])

    async def work(running: Running) -> None:
        for name in approvals:
            await _known_officer(running, name)
        added = await add_systems(running.registry, running.config, approvals)
        print(f"added: {', '.join(added) or 'nothing'}; goals wait for their vote: poorter goals")

    return with_city(arguments, work)


def upgrade(arguments: argparse.Namespace) -> int:
    """What this release needs of an older city; opening it brings that forward."""

    async def work(running: Running) -> None:
        added, version = running.brought.added, running.gate.policy.version
        print("\n".join(added) if added else "nothing was missing")
        if added:
            print(f"for the platform's own work only, in policy version {version}")
        for words in running.brought.waits:
            print(f"waits for two officers: poorter grant {words} --approved-by A --approved-by B")

    return with_city(arguments, work)


async def _known_officer(running: Running, name: str) -> None:
    officer_of(running, name)
