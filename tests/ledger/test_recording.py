# SPDX-License-Identifier: EUPL-1.2
"""Lines about people: one per person, activity and trace, durable before anything leaves."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.founded import founded
from tests.people import PURPOSE, SECRET, WALL, grants, name_of, person, with_people

from poorter.city.clock import ManualClock
from poorter.city.errors import NotFound, Unavailable
from poorter.city.query import Query
from poorter.gate.genesis import RUN
from poorter.gate.permit import Permit
from poorter.identity.credentials import new_credential
from poorter.jobs import record_uses
from poorter.ledger.leaf import Leaf, decode_leaf
from poorter.ledger.lines import NO_LINE, commitment_of, read_line
from poorter.ledger.tracing import new_trace, trace_from
from poorter.running import Running
from poorter.server import make_app
from poorter.store.contract import Change, PutRecord, StoredLine

pytestmark = pytest.mark.usefixtures("engine")
V1 = "/ngsi-ld/v1"


def reading(running: Running) -> Permit:
    return running.gate.permit("internal:ledger", RUN, "read")


def lines(running: Running, number: int) -> list[StoredLine]:
    return running.store.lines(reading(running), name_of(running, number))


def opened(running: Running, line: StoredLine) -> dict[str, Any]:
    return read_line(running.recorder.keys.open(line.kept)[1])


def leaf_at(running: Running, index: int) -> Leaf:
    return decode_leaf(running.store.leaves(reading(running), index, 1)[0][1])


def in_city(
    folder: Path, body: Callable[[Running, ManualClock], Coroutine[Any, Any, None]]
) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(folder, clock) as running:
            await body(running, clock)

    asyncio.run(run())


def test_each_holder_has_one_line_a_read_and_their_own_sequence(tmp_path: Path) -> None:
    """Two badges of one person in one answer make one line; the leaf binds place and line."""

    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1, 2, 1])
        city = running.city("app", PURPOSE.id)
        assert len(await city.entities(Query(types=("BlueBadge",)))) == 3
        await city.entities(Query(types=("BlueBadge",)))
        first, second = lines(running, 1)
        assert [len(lines(running, n)) for n in (1, 2, 3)] == [2, 2, 0]
        assert (first.kept.seq, first.kept.prev) == (1, NO_LINE)
        assert (second.kept.seq, second.kept.prev) == (2, first.index)
        for line in (first, second):
            leaf, kept = decode_leaf(line.leaf), line.kept
            assert leaf.commitment == commitment_of(kept.inner, kept.seq, kept.prev)
            assert (leaf.processor, leaf.purpose, leaf.subject_of) == ("app", PURPOSE.id, "badges")
            salt, text = running.recorder.keys.open(kept)
            assert len(salt) == 32 and hashlib.sha256(salt + text).digest() == kept.inner
        doc = opened(running, first)
        assert doc["attributes"]["dpl.core.processing_activity_id"].startswith(
            f"https://{running.config.ledger_origin}/activities/{PURPOSE.id}@"
        )
        same = opened(running, second)
        assert doc["span_id"] != same["span_id"] and doc["trace_id"] != same["trace_id"]
        subject = "dpl.core.data_subject_id"
        assert doc["attributes"][subject] == same["attributes"][subject]
        assert person(1) not in str(doc) and "holder" not in str(doc)

    in_city(tmp_path, body)


def test_the_caller_s_trace_goes_on_and_the_outcome_follows(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1])
        credential, key = new_credential("app", PURPOSE.id)
        own = running.gate.permit("internal:identity", RUN, "administer")
        record = PutRecord("credential", credential.id, credential.to_doc())
        await running.store.commit_async(own, Change((record,)))
        running.load_credentials()
        theirs = new_trace()
        transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
        headers = {"authorization": f"Bearer {key}", "traceparent": theirs.header()}
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            answer = await client.get(f"{V1}/entities?type=BlueBadge", headers=headers)
            assert answer.status_code == 200 and len(answer.json()) == 1
            denied = await client.post(f"{V1}/entities", json={"id": "urn:x:1", "type": "X"})
            assert denied.status_code == 403
        await record_uses(running)
        (line,) = lines(running, 1)
        doc = opened(running, line)
        assert doc["trace_id"] == theirs.trace_id.hex()
        attributes = doc["attributes"]
        assert attributes["dpl.core.foreign_operation.processor"].endswith("/processors/app")
        of_trace = running.store.traced(reading(running), theirs.trace_id)
        kinds = [leaf_at(running, index).type for index in of_trace]
        assert kinds == ["use", "audit", "ended"]
        audit = running.store.leaf_payload(reading(running), of_trace[1])
        assert credential.id.encode() in audit and b'"grants":["b-r"]' in audit
        last = running.sequencer.checkpoint.size
        told = [leaf_at(running, index) for index in range(line.index, last)]
        (denials,) = [leaf for leaf in told if leaf.type == "denials"]
        assert (denials.processor, denials.purpose, denials.action, denials.outcome) == (
            *("public", "open-data", "write"),
            "1",
        )

    in_city(tmp_path, body)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ],
)
def test_a_broken_traceparent_begins_a_trace(broken: str) -> None:
    trace = trace_from(broken)
    assert not trace.called and any(trace.trace_id)


def test_a_later_version_of_traceparent_is_read() -> None:
    trace = trace_from("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes")
    assert trace.called and trace.trace_id.hex().startswith("0af7")


def test_a_bulk_answer_leaves_in_parts_each_after_its_lines(tmp_path: Path) -> None:
    """1,500 people; at each part that reaches the app as many have a line as have left."""

    async def body(running: Running, clock: ManualClock) -> None:
        number = 1500
        await with_people(running, range(500))
        for start in range(500, number, 500):
            await _more(running, start)
        app, headers = make_app(running), await app_key(running)
        left = 0

        async def transmit(message: Any) -> None:
            nonlocal left
            left += message.get("body", b"").count(b'"type":"BlueBadge"')
            recorded = running.store.heads(reading(running)).heads
            assert len(recorded) >= left, "no more has left than is recorded"
            if message.get("body", b"").endswith(b'{"entities":1500}\n'):
                assert not message.get("more_body")

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/city/bulk",
            "query_string": b"type=BlueBadge",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await app(scope, receive, transmit)
        assert left == number
        heads = running.store.heads(reading(running)).heads
        assert len(heads) == number and all(seq == 1 for _, seq, _ in heads)
        traces = {opened(running, lines(running, n)[0])["trace_id"] for n in (0, 700, 1499)}
        assert len(traces) == 1
        await record_uses(running)
        trace = bytes.fromhex(traces.pop())
        of_trace = running.store.traced(reading(running), trace, 2, newest=True)
        assert [leaf_at(running, index).type for index in of_trace] == ["ended", "audit"]
        subject = running.subject_of(person(3), WALL)
        assert [line.ended for line in running.insight.lines(WALL, subject)] == [True]

    in_city(tmp_path, body)


def test_a_bulk_answer_ends_where_its_grant_ends(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, range(1200))
        app, headers = make_app(running), await app_key(running)
        bodies: list[bytes] = []

        async def transmit(message: Any) -> None:
            bodies.append(message.get("body", b""))
            if len(bodies) == 2:  # the first part is out
                until = replace(grants()[0], until_us=clock.now_us() + 1)
                await running.registry.put([until], "ada", "revoked")
                clock.forward_s(2)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/city/bulk",
            "query_string": b"type=BlueBadge",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await app(scope, receive, transmit)
        told = b"".join(bodies)
        assert told.count(b'"type":"BlueBadge"') == 1000 and b'"entities"' not in told
        assert len(running.store.heads(reading(running)).heads) == 1000

    in_city(tmp_path, body)


async def app_key(running: Running) -> dict[str, str]:
    """Headers of the app that may read badges."""
    credential, key = new_credential("app", PURPOSE.id)
    own = running.gate.permit("internal:identity", RUN, "administer")
    record = PutRecord("credential", credential.id, credential.to_doc())
    await running.store.commit_async(own, Change((record,)))
    running.load_credentials()
    return {"authorization": f"Bearer {key}"}


async def _more(running: Running, start: int) -> None:
    from tests.people import badge

    from poorter.store.contract import Create

    write = running.gate.permit("app", PURPOSE.id, "write")
    ops = tuple(Create(badge(n, n)) for n in range(start, start + 500))
    await running.store.commit_async(write, Change(ops))


def test_a_stream_is_one_trace_renewed_hourly(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1, 2])

        async def message(number: int) -> None:
            permit = running.gate.permit("app", PURPOSE.id, "read")
            wanted = running.subject_of(person(number + 1), WALL)
            badges = running.store.query(permit, Query(types=("BlueBadge",))).entities
            (entity,) = (badge for badge in badges if badge.subject == wanted)
            await running.recorder.in_stream("sub", permit, (entity,))

        for number in (0, 0, 1, 0):
            await message(number)
        assert [len(lines(running, n)) for n in (1, 2)] == [1, 1]
        traces = {opened(running, lines(running, n)[0])["trace_id"] for n in (1, 2)}
        assert len(traces) == 1
        clock.forward_s(3601)
        await message(0)
        assert [len(lines(running, n)) for n in (1, 2)] == [2, 1]
        assert opened(running, lines(running, 1)[1])["trace_id"] not in traces

    in_city(tmp_path, body)


def test_a_delayed_purpose_is_not_named_in_public_but_its_day_is(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1])
        await running.city("app", SECRET.id).entities(Query(types=("BlueBadge",)))
        (line,) = lines(running, 1)
        leaf = decode_leaf(line.leaf)
        assert (leaf.processor, leaf.purpose, leaf.action) == ("", "", "delayed")
        assert leaf.outcome == "2026-01-31", "30 days on, whole days"
        assert SECRET.id in str(opened(running, line))

    in_city(tmp_path, body)


def test_an_erased_month_can_t_be_read_but_still_proves(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1])
        await running.city("app", PURPOSE.id).entities(Query(types=("BlueBadge",)))
        (line,) = lines(running, 1)
        assert running.recorder.keys.destroy_before(clock.now_us()) == []
        clock.forward_s(40 * 86_400)
        assert running.recorder.keys.destroy_before(clock.now_us()) == ["lines-2026-01"]
        with pytest.raises(NotFound):
            opened(running, line)
        kept = lines(running, 1)[0].kept
        assert decode_leaf(line.leaf).commitment == commitment_of(kept.inner, kept.seq, kept.prev)

    in_city(tmp_path, body)


def test_what_can_t_be_recorded_does_not_leave(tmp_path: Path) -> None:
    """The store refuses the line: the read is refused; a vital grant goes on, and is told of."""

    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1])
        city = running.city("app", PURPOSE.id)
        running.store._writer._closed = True  # type: ignore[attr-defined]
        with pytest.raises(Unavailable):
            await city.entities(Query(types=("BlueBadge",)))
        running.store._writer._closed = False  # type: ignore[attr-defined]
        assert lines(running, 1) == []

    in_city(tmp_path, body)


def test_a_vital_use_goes_on_by_the_spool_and_is_merged_once(tmp_path: Path) -> None:
    async def body(running: Running, clock: ManualClock) -> None:
        await with_people(running, [1, 2], vital=True)
        city = running.city("app", PURPOSE.id)
        running.store._writer._closed = True  # type: ignore[attr-defined]
        assert len(await city.entities(Query(types=("BlueBadge",)))) == 2
        spool = running.recorder._spool
        (entry,) = spool.waiting()
        assert len(entry.lines) == 2 and b"Person" not in spool._file.read_bytes()
        running.store._writer._closed = False  # type: ignore[attr-defined]
        with spool._file.open("ab") as stream:
            stream.write(b"\x00\x00\x01\x00torn by a crash")
        assert lines(running, 1) == []
        await record_uses(running)
        assert spool.waiting() == []
        assert [len(lines(running, n)) for n in (1, 2)] == [1, 1]
        spool.put(entry)  # a crash after the commit and before the spool was cleared
        await record_uses(running)
        assert [len(lines(running, n)) for n in (1, 2)] == [1, 1]
        own = running.gate.permit("internal:uses", RUN, "read")
        where = {"subject": name_of(running, 1).hex()}
        (notice,) = running.store.records(own, "notice", where)
        assert notice.doc["kind"] == "vital"

    in_city(tmp_path, body)
