# SPDX-License-Identifier: EUPL-1.2
"""Writes of the offices: the change and its leaf in one transaction."""

from __future__ import annotations

from poorter.city.errors import Denied, NotFound
from poorter.city.text import Text
from poorter.gate.genesis import LOGIN, RUN
from poorter.gate.permit import Permit
from poorter.identity.persons import CITY_HALL
from poorter.identity.sessions import Officer
from poorter.ledger.leaf import make_line
from poorter.ledger.tracing import new_trace
from poorter.running import Running
from poorter.store.contract import AppendLeaf, Change, Op, Record
from poorter.store.paging import every_record

OWN = "internal:identity"
#: the dataset of what is kept of residents' logins
RESIDENTS = "residents"
OFFICER = "officer"
_WHO = {
    OFFICER: Text("bevoegden", "officers"),
    "desk": Text("medewerkers van het loket", "people of the desk"),
}


def reading(running: Running) -> Permit:
    """To read officers, keys and drafts by."""
    return running.gate.permit(OWN, RUN, "read")


async def write(
    running: Running, by: str, about: str, outcome: str, *ops: Op, subject: str | None = None
) -> None:
    """`ops` and their leaf. `by`, who did it, is in the private part of the leaf; `subject`: the
    person whom it is about, as the city hall knows them: they get a line that they can read."""
    line = make_line(
        "action",
        running.clock.now_us(),
        policy_version=running.gate.policy.version,
        processor=OWN,
        purpose=RUN,
        about=about,
        action="administer",
        outcome=outcome,
        payload=by.encode(),
    )
    permit = running.gate.permit(OWN, RUN, "administer")
    leaf = AppendLeaf(line.leaf, line.payload, subject)
    if subject is None:
        await running.store.commit_async(permit, Change((*ops, leaf)))
        return
    using = running.gate.permit(OWN, LOGIN, "administer")
    trace = new_trace()
    lines = running.recorder.ops_about(using, [(RESIDENTS, CITY_HALL, subject)], trace, by)
    await running.store.commit_async(permit, Change((*ops, leaf, *lines)))
    running.recorder.ended(using, trace, ok=True)


def all_records(running: Running, kind: str) -> list[Record]:
    """All records of a kind, page by page."""
    return list(every_record(running.store, reading(running), kind))


def officer_of(running: Running, name: str) -> Officer:
    """The officer. Raises NotFound."""
    return Officer.from_doc(name, running.store.record(reading(running), "officer", name).doc)


def check_officer(running: Running, name: str) -> None:
    """Raises Denied unless `name` is in office now, whatever a session still says."""
    check_role(running, name, OFFICER)


def check_role(running: Running, name: str, role: str) -> None:
    """Raises Denied unless `name` has the role now, whatever a session still says."""
    try:
        roles = officer_of(running, name).roles
    except NotFound:
        roles = ()
    if role not in roles:
        who = _WHO.get(role, Text("medewerkers", "staff"))
        raise Denied(Text(f"alleen {who.nl} doen dit", f"only {who.en} do this"))
