# SPDX-License-Identifier: EUPL-1.2
"""A city that runs: store, gate, ledger, decisions and systems, wired once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from poorter.city.clock import Clock
from poorter.city.errors import Invalid
from poorter.config import Config
from poorter.connections.run import Connections
from poorter.decide.decisions import Decisions
from poorter.decide.objection import Objections
from poorter.founding import bring_forward
from poorter.gate.forward import Forward
from poorter.gate.gate import Compiled, Gate
from poorter.gate.genesis import RUN
from poorter.gate.policy import Purpose
from poorter.gate.pseudonyms import Pseudonyms
from poorter.gate.registry import Registry, load
from poorter.gate.rights import Rights
from poorter.gate.uses import Uses
from poorter.handle import LocalCity
from poorter.identity.credentials import Credential, Credentials
from poorter.identity.keys import (
    PublicPair,
    add_missing_keys,
    load_key,
    read_ring,
    read_secret,
)
from poorter.identity.mark import FILE, VersionMark
from poorter.identity.persons import BSN, Persons, is_subject
from poorter.identity.services import SERVICES, Service
from poorter.ledger.sealing import LineKeys
from poorter.ledger.sequencer import Sequencer
from poorter.ledger.spool import Spool
from poorter.ledger.trust import log_lines, parse_trust
from poorter.rights.people import People, make_people
from poorter.standards.http.outgoing import Outgoing
from poorter.standards.ngsild.sources.federation import Federation
from poorter.standards.ngsild.subscriptions.engine import Engine
from poorter.standards.ngsild.tenants import Tenants
from poorter.standards.oidc.client import RelyingParty
from poorter.standards.oidc.provider import Provider
from poorter.standards.openid4vp.status import Statuses
from poorter.standards.witnessing.collecting import Collecting
from poorter.store.contract import Store
from poorter.store.insight import Insight
from poorter.store.opening import allow, open_store
from poorter.store.paging import every_record
from poorter.store.policy import PolicyStore
from poorter.store.recording import Recorder
from poorter.store.walls.naming import WallKeys
from poorter.store.walls.rows import Rows
from poorter.store.walls.store import WalledStore
from poorter.store.walls.vault import Vault
from poorter.stream.local import LocalStream
from poorter.systems.catalogue import load_systems, settings_of
from poorter.systems.city import Own
from poorter.systems.shape import System

log = logging.getLogger(__name__)

LEDGER_FOLDER = "ledger"
TENANTS_FOLDER = "tenants"
MODELS_FOLDER = "models"


@dataclass(slots=True)
class Running:
    """All parts of one running city. Close it when done: what is queued is written first."""

    config: Config
    clock: Clock
    store: WalledStore
    gate: Gate
    registry: Registry
    uses: Uses
    recorder: Recorder
    insight: Insight
    credentials: Credentials
    decisions: Decisions
    objections: Objections
    sequencer: Sequencer
    stream: LocalStream
    outgoing: Outgoing
    systems: tuple[System, ...]
    own: dict[str, Own]
    persons: Persons
    statuses: Statuses = field(repr=False)
    pepper: bytes = field(repr=False)
    services: dict[str, Service]
    parties: dict[str, RelyingParty] = field(repr=False)
    people: People
    collecting: Collecting | None = None  # of cosignatures, where the city has witnesses
    #: purposes as they once read, by id@version, as far as somebody asked for them
    purposes_before: dict[str, Purpose] = field(default_factory=dict)
    engine: Engine | None = None  # of subscriptions, once the city has an HTTP face
    connections: Connections | None = None  # once it is served
    job_failures: dict[str, int] = field(default_factory=dict)  # in a row, by job
    federation: Federation | None = None  # with other sources, likewise
    tenants: Tenants | None = None  # likewise
    brought: Forward = field(default_factory=Forward)  # what this start added to the policy

    def city(self, processor: str, purpose: str) -> LocalCity:
        """The city handle of one (processor, purpose)."""
        return LocalCity(
            self.store,
            self.gate,
            self.decisions,
            self.stream,
            self.uses,
            self.recorder,
            self.clock,
            processor,
            purpose,
            self.own.get(processor),
        )

    def subject_of(self, named: str, wall: str) -> str:
        """What a wall calls the person whom a number, or another name, stands for."""
        return self.store.subject_of(named, wall)

    def trust_text(self) -> str:
        """The policy by which others can verify this ledger: its keys, its witnesses, how many."""
        if self.config.ledger_trust is not None:
            return self.config.ledger_trust.read_text("utf-8")
        ring = [e.public() for e in read_ring(self.config.paths_keys) if e.use == "ledger"]
        return "\n".join([*log_lines(ring), "quorum none", ""])

    @property
    def stores(self) -> tuple[Store, ...]:
        """The city's own, and those of tenants that are open."""
        tenants = self.tenants.open if self.tenants is not None else ()
        return (self.store, *(tenant.store for tenant in tenants))

    def city_of(self, system: System) -> LocalCity:
        """The handle that a system works with."""
        return self.city(system.processor, system.purpose)

    def office_of(self, register_id: str) -> str | None:
        """The office that answers for a purpose, dataset, mandate or system; None if unknown."""
        policy = self.gate.policy
        if register_id in policy.purposes:
            return policy.purposes[register_id].office
        if register_id in policy.datasets:
            return policy.datasets[register_id].controller
        if register_id in self.decisions.mandates:
            return self.decisions.mandates[register_id].office
        return next((s.office for s in self.systems if s.name == register_id), None)

    def load_credentials(self) -> None:
        """Take the keys of apps from the store: after start, and when one was made or revoked."""
        permit = self.gate.permit("internal:identity", RUN, "read")
        records = every_record(self.store, permit, "credential")
        self.credentials.replace(Credential.from_doc(r.id, r.doc) for r in records)

    def close(self) -> None:
        """Write what is queued, bring the ledger up to it, stop."""
        self.stream.close()
        self.sequencer.step()
        self.store.close()


async def open_city(config: Config, clock: Clock) -> Running:
    """Open the city of `config` on the running event loop.

    Raises: Unavailable when another process has it or keys are missing, NotFound when it was
    never founded, Invalid when its policy is not signed by its keys.
    """
    allow(config.store_memory_mib)
    inner = open_store(config.paths_data, clock, config.store_url, config.store_owner_url)
    inner.keep_former(config.history_former_values)
    store = _walled(config, inner)
    try:
        registry, gate = _governed(config, store)
        brought = await bring_forward(registry, config, clock.now_us())
        running = _wire(config, store, registry, gate)
        running.brought = brought
        if brought.parts:
            version = gate.policy.version
            log.warning("policy %d, for this release: %s", version, "; ".join(brought.added))
        await running.people.swept()  # what a restored backup brought back
        return running
    except BaseException:
        store.close()
        raise


def _walled(config: Config, inner: Store) -> WalledStore:
    keys = config.paths_keys
    persons = Persons(keys)

    def subject_of(named: str, wall: str) -> str:
        if is_subject(named):
            return named
        try:
            return persons.subject(persons.root(BSN, named), wall)
        except Invalid:
            return persons.subject(persons.root("id", named), wall)

    wall_keys, now_us = WallKeys(keys), inner.clock.now_us
    pseudonyms = Pseudonyms(wall_keys.naming, now_us)
    rows = Rows(Vault(keys), wall_keys, pseudonyms, Rights(), inner.clock)
    return WalledStore(inner, rows, subject_of)


def _governed(config: Config, store: WalledStore) -> tuple[Registry, Gate]:
    """The policy in force, and who may change it."""
    clock, keys = store.clock, config.paths_keys
    add_missing_keys(keys, config.ledger_origin, clock.now_us())
    policy_keys = [entry.public() for entry in read_ring(keys) if entry.use == "policy"]
    port, mark = PolicyStore(store), VersionMark(keys)
    gate = Gate(_policy(port, policy_keys, clock, mark), clock)
    return Registry(port, gate, load_key(keys, "policy"), clock, mark), gate


def _wire(config: Config, store: WalledStore, registry: Registry, gate: Gate) -> Running:
    clock = store.clock
    outgoing = Outgoing(config.network_allowed_hosts)
    systems = load_systems(config.systems_enabled)
    ring = read_ring(config.paths_keys)
    ledger_keys = [entry.public() for entry in ring if entry.use == "ledger"]
    decisions = Decisions(
        store,
        gate,
        clock,
        [mandate for system in systems for mandate in system.mandates],
        [rule for system in systems for rule in system.safety],
    )

    def leaves(after: int, limit: int) -> list[tuple[int, bytes]]:
        return store.leaves(gate.permit("internal:ledger", RUN, "read"), after, limit)

    def office_of(name: str) -> str | None:
        return running.office_of(name)

    uses, line_keys = Uses(), LineKeys(config.paths_keys)
    sequencer = Sequencer(
        config.paths_data / LEDGER_FOLDER,
        leaves,
        load_key(config.paths_keys, "ledger"),
        ledger_keys,
        clock,
    )
    recorder = Recorder(
        store,
        gate,
        uses,
        clock,
        line_keys,
        Spool(config.paths_spool),
        config.ledger_origin,
        store.subject_of,
    )
    running = Running(
        config=config,
        clock=clock,
        store=store,
        gate=gate,
        registry=registry,
        uses=uses,
        recorder=recorder,
        credentials=Credentials(),
        decisions=decisions,
        objections=Objections(store, gate, clock, office_of),
        insight=Insight(store, gate, line_keys, sequencer, clock),
        sequencer=sequencer,
        stream=LocalStream(store),
        outgoing=outgoing,
        systems=systems,
        own={system.processor: _own(config, system) for system in systems},
        persons=Persons(config.paths_keys),
        statuses=Statuses(outgoing, clock),
        pepper=read_secret(config.paths_keys / "pepper"),
        parties={p.name: _party(config, p, outgoing, clock) for p in config.identity_providers},
        services={service.id: service for service in SERVICES},
        people=_people(config, store, gate, recorder),
    )
    running.collecting = _collecting(config, running.sequencer)
    gate.recording = lambda: running.sequencer.failing is None
    running.load_credentials()
    return running


def _policy(port: PolicyStore, keys: list[PublicPair], clock: Clock, mark: VersionMark) -> Compiled:
    try:
        return load(port, keys, clock, mark)
    except Invalid as wrong:
        if "is not above" not in wrong.detail:
            raise
        raise Invalid(
            f"{wrong.detail}: the data is older than the policy that was in force here. To go on "
            f"with it, knowing that ended grants come back, remove {FILE} from the folder of keys"
        ) from None


def _people(config: Config, store: WalledStore, gate: Gate, recorder: Recorder) -> People:
    def notice_name(wall: str, subject: str) -> str:
        return recorder.keys.name(wall, subject)[1].hex()

    return make_people(store, gate, config.paths_keys, config.city_id, notice_name, recorder)


def _collecting(config: Config, sequencer: Sequencer) -> Collecting | None:
    if config.ledger_trust is None:
        return None
    try:
        trust = parse_trust(config.ledger_trust.read_text("utf-8"))
    except (OSError, ValueError) as wrong:
        raise Invalid(f"{config.ledger_trust}: {wrong}") from None
    return Collecting(sequencer, trust)


def _party(config: Config, provider: Provider, outgoing: Outgoing, clock: Clock) -> RelyingParty:
    """Its secret, if it has one, lies beside the keys."""
    file = config.paths_keys / f"oidc-{provider.name}.secret"
    secret = read_secret(file).decode("utf-8").strip() if file.exists() else None
    back = f"{config.url}/oidc/{provider.name}/back"
    return RelyingParty(provider, outgoing, clock, back, secret)


def _own(config: Config, system: System) -> Own:
    given = config.systems_settings.get(system.name, {})
    folder = config.paths_data / MODELS_FOLDER
    return Own(settings_of(system, given), config.city_time_zone, folder)
