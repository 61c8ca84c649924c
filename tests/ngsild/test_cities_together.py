# SPDX-License-Identifier: EUPL-1.2
"""Three real cities on loopback: the four modes, chains, circles, and each city's own gate."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.founded import OFFICERS
from tests.served import Served
from tests.sources import Source, source

from poorter.city.clock import SystemClock
from poorter.city.text import Text
from poorter.config import read_config
from poorter.founding import found_city
from poorter.gate.policy import Dataset, Grant
from poorter.running import open_city

V1 = "/ngsi-ld/v1"
NAMES = ("a", "b", "c")


async def _found(folder: Path, name: str) -> None:
    settings: dict[str, object] = {
        "city.id": name,
        "systems.enabled": [],
        "network.allowed_hosts": ["127.0.0.1"],
        "server.public_rate_per_second": 1e6,
        "server.public_rate_burst": 1_000_000,
    }
    await found_city(folder, settings, OFFICERS, "Council", SystemClock())
    running = await open_city(read_config(folder), SystemClock())
    # what each city lets out of its noise levels is its own affair: b keeps the addresses in
    open_names = ("level",) if name == "b" else ()
    noise = Dataset(
        "noise", Text("g", "n"), "open", "open", "-", {"NoiseLevelObserved": open_names}
    )
    parts = [
        noise,
        Grant("w", "public", "open-data", "context", ("write",), OFFICERS),
        Grant("s", "public", "open-data", "sources", ("read", "write"), OFFICERS),
        Grant("n", "public", "open-data", "noise", ("read", "write"), OFFICERS),
    ]
    if name == "b":
        inner = Dataset(
            "inner", Text("i", "i"), "hall", "internal", "-", {"NoiseLevelObserved": ()}
        )
        parts += [inner, Grant("i", "staff", "control-room", "inner", ("read", "write"), OFFICERS)]
    await running.registry.put(parts, "ada", "for a test")
    running.close()


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx.Client]]:
    """A client of each of three cities."""
    with ExitStack() as stack:
        clients: dict[str, httpx.Client] = {}
        for name in NAMES:
            folder = tmp_path_factory.mktemp(name)
            asyncio.run(_found(folder, name))
            city = Served(folder)
            city.start()
            stack.callback(city.stop)
            clients[name] = stack.enter_context(httpx.Client(base_url=city.url, timeout=20))
        yield clients


@pytest.fixture
def together(cities: dict[str, httpx.Client]) -> Iterator[dict[str, httpx.Client]]:
    """The same cities, empty and strangers again afterwards."""
    yield cities
    kinds = "OffStreetParking,NoiseLevelObserved,Road"
    for city in cities.values():
        for one in city.get(f"{V1}/csourceRegistrations?type={kinds}&limit=100").json():
            city.delete(f"{V1}/csourceRegistrations/{one['id']}")
        for one in city.get(f"{V1}/entities?type={kinds}&local=true&limit=1000").json():
            city.delete(f"{V1}/entities/{one['id']}")


def prop(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **more}


def lot(key: str, **values: Any) -> dict[str, Any]:
    return {"id": f"urn:ngsi-ld:OffStreetParking:{key}", "type": "OffStreetParking", **values}


def join(
    city: httpx.Client, other: httpx.Client, kind: str = "OffStreetParking", **more: Any
) -> str:
    """Register `other` as a source of `city`."""
    entity: dict[str, Any] = {"type": kind}
    if "id" in more:
        entity["id"] = more.pop("id")
    part: dict[str, Any] = {"entities": [entity]}
    if "names" in more:
        part["propertyNames"] = more.pop("names")
    body = {
        "type": "ContextSourceRegistration",
        "information": [part],
        "endpoint": str(other.base_url).rstrip("/"),
        "management": {"timeout": 10_000},  # a busy machine is no failure
        **more,
    }
    made = city.post(f"{V1}/csourceRegistrations", json=body)
    assert made.status_code == 201, made.text
    return str(made.headers["location"].rsplit("/", 1)[1])


def ids(answer: httpx.Response, warned: str = "") -> list[str]:
    assert answer.status_code == 200, answer.text
    assert answer.headers.get("ngsild-warning", "")[:3] == warned, answer.headers
    return [one["id"].rsplit(":", 1)[1] for one in answer.json()]


def test_inclusive_both_and_the_newest_word(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    for key in ("1", "3", "5"):
        a.post(f"{V1}/entities", json=lot(key, free=prop(1)))
    for key in ("2", "4"):
        b.post(f"{V1}/entities", json=lot(key, free=prop(2)))
    early, late = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
    a.post(f"{V1}/entities", json=lot("9", free=prop(10, observedAt=early), here=prop(1)))
    b.post(f"{V1}/entities", json=lot("9", free=prop(20, observedAt=late), there=prop(1)))
    join(a, b)
    kind = "type=OffStreetParking"
    everything = a.get(f"{V1}/entities?{kind}&count=true")
    assert ids(everything) == ["1", "2", "3", "4", "5", "9"]
    assert everything.headers["ngsild-results-count"] == "6"
    assert ids(a.get(f"{V1}/entities?{kind}&local=true")) == ["1", "3", "5", "9"]
    # page by page, each once, whoever has it
    seen, url = [], f"{V1}/entities?{kind}&limit=2"
    while url:
        page = a.get(url)
        seen += ids(page)
        links = [part for part in page.headers.get_list("link") if 'rel="next"' in part]
        url = links[0].split("<")[1].split(">")[0] if links else ""
    assert seen == ["1", "2", "3", "4", "5", "9"]
    whole = a.get(f"{V1}/entities/urn:ngsi-ld:OffStreetParking:9").json()
    assert whole["free"]["value"] == 20 and {"here", "there"} <= set(whole)
    # a filter looks at the whole: what is old here doesn't count any more
    assert ids(a.get(f"{V1}/entities?{kind}&q=free==10")) == []
    assert ids(a.get(f"{V1}/entities?{kind}&q=free==20;here==1")) == ["9"]
    body = {"type": "Query", "entities": [{"type": "OffStreetParking"}], "q": "free==2"}
    assert ids(a.post(f"{V1}/entityOperations/query", json=body)) == ["2", "4"]


def test_exclusive_attributes_live_elsewhere(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    one = lot("x")["id"]
    operations = ["redirectionOps", "createBatch", "updateBatch"]
    join(a, b, id=one, names=["free"], mode="exclusive", operations=operations)
    made = a.post(f"{V1}/entities", json=lot("x", free=prop(5), name=prop("X")))
    assert made.status_code == 201, made.text
    assert set(a.get(f"{V1}/entities/{one}?local=true").json()) == {"id", "type", "name"}
    assert set(b.get(f"{V1}/entities/{one}").json()) == {"id", "type", "free"}
    whole = a.get(f"{V1}/entities/{one}").json()
    assert (whole["free"]["value"], whole["name"]["value"]) == (5, "X")
    changes = {"free": prop(6), "name": prop("Y")}
    assert a.patch(f"{V1}/entities/{one}/attrs", json=changes).status_code == 204
    assert a.patch(f"{V1}/entities/{one}/attrs/free", json={"value": 7}).status_code == 204
    assert b.get(f"{V1}/entities/{one}").json()["free"]["value"] == 7
    update = a.post(f"{V1}/entityOperations/update", json=[lot("x", free=prop(8), name=prop("Z"))])
    assert update.status_code == 204
    whole = a.get(f"{V1}/entities/{one}").json()
    assert (whole["free"]["value"], whole["name"]["value"]) == (8, "Z")
    # a copy here counts for nothing: only the source has it
    aside = {"free": prop(99, observedAt="2030-01-01T00:00:00Z")}
    assert a.post(f"{V1}/entities/{one}/attrs?local=true", json=aside).status_code == 204
    assert a.get(f"{V1}/entities/{one}").json()["free"]["value"] == 8
    # a source that takes no batches gets them entity by entity
    upserted = a.post(
        f"{V1}/entityOperations/upsert", json=[lot("x", free=prop(9), name=prop("W"))]
    )
    assert upserted.status_code == 204
    assert b.get(f"{V1}/entities/{one}").json() == lot("x", free=prop(9))
    assert a.get(f"{V1}/entities/{one}?local=true").json()["name"]["value"] == "W"
    assert a.delete(f"{V1}/entities/{one}/attrs/free").status_code == 204
    assert "free" not in b.get(f"{V1}/entities/{one}").json()
    assert a.delete(f"{V1}/entities/{one}").status_code == 204
    assert [c.get(f"{V1}/entities/{one}").status_code for c in (a, b)] == [404, 404]


def test_redirect_goes_to_all_and_stays_nowhere_here(together: dict[str, httpx.Client]) -> None:
    a, b, c = together["a"], together["b"], together["c"]
    for other in (b, c):
        join(a, other, mode="redirect", operations=["redirectionOps"])
    one = lot("r")["id"]
    assert a.post(f"{V1}/entities", json=lot("r", free=prop(1))).status_code == 201
    assert [x.get(f"{V1}/entities/{one}").status_code for x in (b, c)] == [200, 200]
    assert a.get(f"{V1}/entities/{one}?local=true").status_code == 404
    c.delete(f"{V1}/entities/{one}")
    partly = a.patch(f"{V1}/entities/{one}/attrs", json={"free": prop(2)})
    assert partly.status_code == 207
    assert partly.json()["notUpdated"][0]["registrationId"]
    assert b.get(f"{V1}/entities/{one}").json()["free"]["value"] == 2


def test_auxiliary_only_adds(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    late = "2026-01-01T11:00:00Z"
    a.post(f"{V1}/entities", json=lot("u", free=prop(1)))
    b.post(f"{V1}/entities", json=lot("u", free=prop(9, observedAt=late), price=prop(3)))
    join(a, b, mode="auxiliary")
    got = a.get(f"{V1}/entities/{lot('u')['id']}").json()
    assert (got["free"]["value"], got["price"]["value"]) == (1, 3)
    assert a.delete(f"{V1}/entities/{lot('u')['id']}").status_code == 204
    assert b.get(f"{V1}/entities/{lot('u')['id']}").status_code == 200


def test_circles_and_chains_end(together: dict[str, httpx.Client]) -> None:
    a, b, c = together["a"], together["b"], together["c"]
    for key, city in zip("abc", (a, b, c), strict=True):
        city.post(f"{V1}/entities", json=lot(key, free=prop(1)))
    join(a, b)
    join(b, c)
    assert ids(a.get(f"{V1}/entities?type=OffStreetParking")) == ["a", "b", "c"]
    join(b, a)
    join(c, a)
    began = time.perf_counter()
    for city in (a, b, c):
        # 199: there was a circle (6.3.17); nothing is missing for it
        assert ids(city.get(f"{V1}/entities?type=OffStreetParking"), "199") == ["a", "b", "c"]
    assert time.perf_counter() - began < 20
    # a source that says who it is, is not asked by those who came from it
    only_b = a.get(f"{V1}/entities/{lot('zz')['id']}")
    assert only_b.status_code == 404


def test_two_that_hold_it_at_each_other(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    for one, other in ((a, b), (b, a)):
        join(one, other, "Road", mode="redirect", operations=["redirectionOps"])
    road = {"id": "urn:ngsi-ld:Road:1", "type": "Road", "n": prop(1)}
    began = time.perf_counter()
    assert a.post(f"{V1}/entities", json=road).status_code == 508
    assert time.perf_counter() - began < 20
    assert [x.get(f"{V1}/entities/{road['id']}?local=true").status_code for x in (a, b)] == [
        404
    ] * 2


def test_a_city_answers_what_its_own_gate_lets_out(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    noise = {"id": "urn:ngsi-ld:NoiseLevelObserved:1", "type": "NoiseLevelObserved"}
    assert b.post(f"{V1}/entities", json={**noise, "level": prop(60)}).status_code == 201
    refused = b.post(f"{V1}/entities/{noise['id']}/attrs", json={"address": prop("Straat 1")})
    assert refused.status_code == 403  # the public may not even write it in b
    a.post(f"{V1}/entities", json={**noise, "address": prop("as a knows it")})
    join(a, b, "NoiseLevelObserved")
    got = a.get(f"{V1}/entities/{noise['id']}").json()
    assert (got["level"]["value"], got["address"]["value"]) == (60, "as a knows it")
    join(b, a, "NoiseLevelObserved")
    seen = b.get(f"{V1}/entities/{noise['id']}").json()
    assert set(seen) == {"id", "type", "level"}  # and a can't bring it in by the back door
    felt = b.get(f'{V1}/entities?type=NoiseLevelObserved&q=address=="as a knows it"')
    assert felt.json() == []


def _subscribe(city: httpx.Client, url: str, **more: Any) -> str:
    body = {
        "type": "Subscription",
        "entities": [{"type": "OffStreetParking"}],
        "notification": {"endpoint": {"uri": f"{url}{V1}/told"}},
        **more,
    }
    made = city.post(f"{V1}/subscriptions", json=body)
    assert made.status_code == 201, made.text
    return str(made.headers["location"].rsplit("/", 1)[1])


def _placed(city: httpx.Client, wanted: int) -> list[dict[str, Any]]:
    """The subscriptions that lie at a city, once there are as many as wanted."""
    found: list[dict[str, Any]] = []
    for _ in range(100):
        found = city.get(f"{V1}/subscriptions").json()
        if len(found) == wanted:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} subscriptions, not {wanted}")


def _told(there: Source, wanted: int) -> list[dict[str, Any]]:
    """What a receiver was told, once it is as much as wanted."""
    for _ in range(100):
        found = [json.loads(body) for _, path, _, body in there.asked if path == f"{V1}/told"]
        if len(found) >= wanted:
            return found
        time.sleep(0.1)
    raise AssertionError(f"told {len(found)} times, not {wanted}")


def test_a_subscriber_hears_of_what_another_city_holds(
    together: dict[str, httpx.Client],
) -> None:
    a, b = together["a"], together["b"]
    with source() as receiver:
        receiver.says("POST", "/told", 200)
        reg = join(a, b, names=["spots"])
        sub = _subscribe(a, receiver.url, q="spots<5", splitEntities=False)
        [there] = _placed(b, 1)
        assert there["q"] == "spots<5"
        assert there["watchedAttributes"] == ["spots"]
        assert there["notification"]["endpoint"]["uri"].startswith(str(a.base_url).rstrip("/"))
        assert there["id"] != sub  # its name there is a secret of the two
        shown = [one["id"] for one in a.get(f"{V1}/csourceSubscriptions").json()]
        assert shown == [f"{sub}:sources"]
        refused = a.delete(f"{V1}/csourceSubscriptions/{shown[0]}")
        assert refused.status_code == 400

        b.post(f"{V1}/entities", json=lot("1", spots=prop(9), price=prop(2)))
        url = f"{V1}/entities/{lot('1')['id']}"
        b.patch(f"{url}/attrs", json={"spots": prop(3)})
        [told] = _told(receiver, 1)
        assert (told["subscriptionId"], told["type"]) == (sub, "Notification")
        assert told["data"] == [lot("1", spots=prop(3))]

        a.patch(f"{V1}/subscriptions/{sub}", json={"q": "spots<2"})
        for _ in range(50):
            if _placed(b, 1)[0]["q"] == "spots<2":
                break
            time.sleep(0.1)
        b.patch(f"{url}/attrs", json={"spots": prop(4)})
        b.patch(f"{url}/attrs", json={"spots": prop(1)})
        assert _told(receiver, 2)[1]["data"][0]["spots"]["value"] == 1

        a.delete(f"{V1}/csourceRegistrations/{reg}")
        _placed(b, 0)
        join(a, b)  # one that comes after the subscription is found as well
        _placed(b, 1)
        a.delete(f"{V1}/subscriptions/{sub}")
        _placed(b, 0)
        assert len(_told(receiver, 2)) == 2


def test_split_entities_are_whole_before_a_subscriber_hears(
    together: dict[str, httpx.Client],
) -> None:
    a, b = together["a"], together["b"]
    with source() as receiver:
        receiver.says("POST", "/told", 200)
        join(a, b)
        sub = _subscribe(a, receiver.url, q='spots<5;owner=="us"', splitEntities=True)
        [there] = _placed(b, 1)
        assert "q" not in there
        a.post(f"{V1}/entities?local=true", json=lot("1", owner=prop("us")))
        a.post(f"{V1}/entities?local=true", json=lot("2", owner=prop("them")))
        for key in ("2", "1"):
            b.post(f"{V1}/entities", json=lot(key, spots=prop(3)))
        [told] = _told(receiver, 1)
        assert told["data"] == [lot("1", owner=prop("us"), spots=prop(3))]
        b.delete(f"{V1}/entities/{lot('1')['id']}")  # by default nobody asked for that
        time.sleep(0.5)
        a.delete(f"{V1}/subscriptions/{sub}")
        _placed(b, 0)
        assert len(_told(receiver, 1)) == 1


def test_only_a_source_that_was_asked_may_tell(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    with source() as receiver:
        receiver.says("POST", "/told", 200)
        noise = "NoiseLevelObserved"
        join(a, b, names=["spots"])
        sub = _subscribe(a, receiver.url, entities=[{"type": "OffStreetParking"}, {"type": noise}])
        [there] = _placed(b, 1)
        url = there["notification"]["endpoint"]["uri"]
        note = {"type": "Notification", "subscriptionId": sub, "data": []}
        assert httpx.post(url, json=note).status_code == 404
        assert httpx.post(url, content=b"{").status_code == 400
        assert httpx.get(url).status_code == 405
        lies = [  # a type, an attribute and an entity that it has not registered
            {"id": "urn:ngsi-ld:NoiseLevelObserved:9", "type": noise, "level": prop(1)},
            lot("8", price=prop(1)),
            "nothing",
            lot("9", spots=prop(1), price=prop(1)),
        ]
        said = httpx.post(url, json={**note, "subscriptionId": there["id"], "data": lies})
        assert said.status_code == 200
        [told] = _told(receiver, 1)
        assert told["data"] == [lot("9", spots=prop(1))]
        a.delete(f"{V1}/subscriptions/{sub}")
        _placed(b, 0)


def test_subscribers_hear_of_what_goes_and_by_time(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    with source() as receiver:
        receiver.says("POST", "/told", 200)
        join(a, b)
        b.post(f"{V1}/entities", json=lot("1", spots=prop(3)))
        subs = [_subscribe(a, receiver.url, notificationTrigger=["entityDeleted"])]
        _placed(b, 1)
        b.delete(f"{V1}/entities/{lot('1')['id']}")
        [told] = _told(receiver, 1)
        assert set(told["data"][0]) == {"id", "type", "deletedAt"}
        b.post(f"{V1}/entities", json=lot("2", spots=prop(3)))
        subs.append(_subscribe(a, receiver.url, timeInterval=1))
        assert _told(receiver, 2)[1]["data"] == [lot("2", spots=prop(3))]
        for sub in subs:
            a.delete(f"{V1}/subscriptions/{sub}")
        _placed(b, 0)


def test_what_it_was_is_told_of_changes_at_a_source(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    with source() as receiver:
        receiver.says("POST", "/told", 200)
        join(a, b, names=["spots", "owner"])
        sub = _subscribe(
            a,
            receiver.url,
            notificationTrigger=["entityUpdated", "entityDeleted"],
            notification={
                "endpoint": {"uri": f"{receiver.url}{V1}/told"},
                "showChanges": True,
            },
        )
        [there] = _placed(b, 1)
        assert there["notification"]["showChanges"] is True
        url = f"{V1}/entities/{lot('5')['id']}"
        body = lot("5", spots=prop(3), owner=prop("us"), price=prop(9))
        b.post(f"{V1}/entities", json=body)
        _told(receiver, 1)
        b.patch(f"{url}/attrs", json={"spots": prop(4), "price": prop(8)})
        assert _told(receiver, 2)[1]["data"] == [
            lot("5", spots={**prop(4), "previousValue": 3}, owner=prop("us"))
        ]
        b.delete(f"{url}/attrs/spots")
        gone = {**prop("urn:ngsi-ld:null"), "previousValue": 4}
        assert _told(receiver, 3)[2]["data"] == [lot("5", spots=gone, owner=prop("us"))]
        b.delete(url)
        [last] = _told(receiver, 4)[3]["data"]
        assert last.pop("deletedAt")
        gone = {**prop("urn:ngsi-ld:null"), "previousValue": "us"}
        assert last == lot("5", owner=gone), "no word of what it has not registered"
        a.delete(f"{V1}/subscriptions/{sub}")
        _placed(b, 0)


def _road(key: str, **values: Any) -> dict[str, Any]:
    return {"id": f"urn:ngsi-ld:Road:{key}", "type": "Road", **values}


def _evolve(city: httpx.Client, key: str, days: dict[int, float], name: str = "spots") -> None:
    instances = [
        prop(value, observedAt=f"2026-05-{day:02}T00:00:00Z") for day, value in days.items()
    ]
    body = _road(key, **{name: instances})
    assert city.post(f"{V1}/temporal/entities", json=body).status_code in (201, 204)


def _days(doc: dict[str, Any], name: str = "spots") -> dict[int, float]:
    return {int(one["observedAt"][8:10]): one["value"] for one in doc[name]}


TEMPORAL = ["retrieveTemporal", "queryTemporal"]


def test_an_evolution_is_whole_wherever_its_instances_lie(
    together: dict[str, httpx.Client],
) -> None:
    a, b, c = together["a"], together["b"], together["c"]
    urn = _road("e")["id"]
    _evolve(a, "e", {1: 10, 4: 40})
    _evolve(b, "e", {2: 20, 3: 30})
    _evolve(b, "e", {2: 1}, "price")
    _evolve(c, "f", {5: 50})
    url = f"{V1}/temporal/entities"
    when = "timerel=between&timeAt=2026-05-01T00:00:00Z&endTimeAt=2026-06-01T00:00:00Z"
    assert _days(a.get(f"{url}/{urn}?{when}").json()) == {1: 10, 4: 40}
    join(a, b, "Road", names=["spots"], operations=TEMPORAL)
    join(a, c, "Road", operations=TEMPORAL)
    whole = a.get(f"{url}/{urn}?{when}").json()
    assert _days(whole) == {1: 10, 2: 20, 3: 30, 4: 40}
    assert "price" not in whole  # nobody registered that
    assert _days(a.get(f"{url}/{urn}?{when}&local=true").json()) == {1: 10, 4: 40}
    assert _days(a.get(f"{url}/{urn}?{when}&lastN=2").json()) == {3: 30, 4: 40}
    shown = a.get(f"{url}/{urn}?{when}&format=temporalValues").json()["spots"]["values"]
    assert [value for value, _ in shown] == [10, 20, 30, 40]
    total = a.get(f"{url}/{urn}?{when}&format=aggregatedValues&aggrMethods=sum,totalCount")
    assert [total.json()["spots"][name][0][0] for name in ("sum", "totalCount")] == [100, 4]
    asked = f"{url}?type=Road&{when}"
    assert ids(a.get(asked)) == ["e", "f"]
    assert ids(a.get(f"{asked}&limit=1")) == ["e"]
    assert ids(a.get(f"{asked}&limit=1&offset=1")) == ["f"]
    assert ids(a.get(f"{asked}&q=spots==50")) == ["f"]
    assert ids(a.get(f"{asked}&q=spots==20")) == ["e"]  # judged on all there is of it
    body = {
        "type": "Query",
        "entities": [{"type": "Road"}],
        "temporalQ": {"timerel": "after", "timeAt": "2026-05-05T00:00:00Z"},
    }
    assert ids(a.post(f"{V1}/temporal/entityOperations/query", json=body)) == ["f"]
    for city, key in ((a, "e"), (b, "e"), (c, "f")):
        city.delete(f"{url}/{_road(key)['id']}")


def test_a_source_of_a_time_is_asked_for_that_time_only(together: dict[str, httpx.Client]) -> None:
    a = together["a"]
    with source() as there:
        there.says(
            "GET",
            "/temporal/entities",
            200,
            [_road("t", n=[prop(1, observedAt="2026-05-01T00:00:00Z")])],
        )
        body = {
            "type": "ContextSourceRegistration",
            "information": [{"entities": [{"type": "Road"}]}],
            "endpoint": there.url,
            "operations": TEMPORAL,
            "observationInterval": {
                "startAt": "2026-05-01T00:00:00Z",
                "endAt": "2026-05-31T00:00:00Z",
            },
        }
        a.post(f"{V1}/csourceRegistrations", json=body)
        url = f"{V1}/temporal/entities?type=Road&timerel=after"
        assert ids(a.get(f"{url}&timeAt=2026-06-01T00:00:00Z")) == []
        assert there.asked == []
        assert ids(a.get(f"{url}&timeAt=2026-05-01T00:00:00Z")) == ["t"]
        assert ids(a.get(f"{V1}/entities?type=Road")) == []
        assert len(there.asked) == 1  # it has no latest state
        there.says("GET", "/temporal/entities", 200, [_road("t", n=5)])
        answer = a.get(f"{url}&timeAt=2026-05-01T00:00:00Z")
        assert (answer.json(), answer.headers["ngsild-warning"][:3]) == ([], "111")


def test_types_and_attributes_of_all_cities(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    a.post(f"{V1}/entities", json=lot("1", spots=prop(1)))
    b.post(f"{V1}/entities", json=lot("1", price=prop(1)))
    b.post(f"{V1}/entities", json=lot("2", price=prop(1), spots=prop(2)))
    b.post(f"{V1}/entities", json=_road("1", width=prop(3)))
    before = a.get(f"{V1}/types").json()["typeList"]
    assert "Road" not in before
    join(a, b)
    join(a, b, "Road", names=["length"])
    here = a.get(f"{V1}/types?local=true").json()["typeList"]
    assert here == before
    assert set(a.get(f"{V1}/types").json()["typeList"]) == {*before, "Road"}
    known = {
        t["typeName"]: set(t["attributeNames"]) for t in a.get(f"{V1}/types?details=true").json()
    }
    assert known["OffStreetParking"] == {"spots", "price"}
    assert known["Road"] == set()  # its width was not registered
    one = a.get(f"{V1}/types/OffStreetParking").json()
    assert one["entityCount"] == 3
    kinds = {x["attributeName"]: x["attributeTypes"] for x in one["attributeDetails"]}
    assert kinds == {"spots": ["Property"], "price": ["Property"]}
    assert {"spots", "price"} <= set(a.get(f"{V1}/attributes").json()["attributeList"])
    price = a.get(f"{V1}/attributes/price").json()
    assert (price["attributeCount"], price["typeNames"]) == (2, ["OffStreetParking"])
    assert a.get(f"{V1}/attributes/spots").json()["attributeCount"] == 2
    assert a.get(f"{V1}/attributes/width").status_code == 404


def test_evolutions_are_written_where_they_are_held(together: dict[str, httpx.Client]) -> None:
    a, b = together["a"], together["b"]
    url = f"{V1}/temporal/entities"
    kept = f"{url}/{_road('w')['id']}"
    writes = ("upsertTemporal", "appendAttrsTemporal", "deleteAttrsTemporal", "deleteTemporal")
    changes = ("updateAttrInstanceTemporal", "deleteAttrInstanceTemporal")
    join(a, b, "Road", mode="redirect", operations=[*TEMPORAL, *writes, *changes])
    _evolve(a, "w", {1: 10, 2: 20})
    assert a.get(f"{kept}?local=true").status_code == 404
    assert _days(b.get(kept).json()) == {1: 10, 2: 20}
    more = {"spots": [prop(30, observedAt="2026-05-03T00:00:00Z")]}
    assert a.post(f"{kept}/attrs", json=more).status_code == 204
    whole = a.get(kept).json()
    assert _days(whole) == {1: 10, 2: 20, 3: 30}
    one = f"{kept}/attrs/spots/{whole['spots'][0]['instanceId']}"
    said = {"spots": [prop(11, observedAt="2026-05-01T00:00:00Z")]}
    assert a.patch(one, json=said).status_code == 204
    assert _days(b.get(kept).json())[1] == 11
    last = b.get(kept).json()["spots"][-1]["instanceId"]
    assert a.delete(f"{kept}/attrs/spots/{last}").status_code == 204
    assert _days(b.get(kept).json()) == {1: 11, 2: 20}
    assert a.delete(f"{kept}/attrs/spots").status_code == 204
    assert a.delete(kept).status_code == 204
    assert [city.get(kept).status_code for city in (a, b)] == [404, 404]


def test_what_lies_at_a_source_outlives_a_restart(tmp_path: Path) -> None:
    asyncio.run(_found(tmp_path, "d"))
    city = Served(tmp_path)
    city.start()
    with source() as there, source() as receiver, httpx.Client(base_url=city.url) as client:
        receiver.says("POST", "/told", 200)
        there.says("POST", "/subscriptions", 201)
        join(client, httpx.Client(base_url=there.url))
        sub = _subscribe(client, receiver.url)
        for _ in range(100):
            if there.asked:
                break
            time.sleep(0.1)
        [(_, _, _, body)] = there.asked
        city.stop()
        city.start()
        with httpx.Client(base_url=city.url) as again:
            note = {"type": "Notification", "subscriptionId": json.loads(body)["id"]}
            said = again.post(
                "/ngsi-ld/ex/remote-notify", json={**note, "data": [lot("1", n=prop(1))]}
            )
            assert said.status_code == 200, said.text
            [told] = _told(receiver, 1)
            assert (told["subscriptionId"], told["data"]) == (sub, [lot("1", n=prop(1))])
            assert len(there.asked) == 1  # it is as it should be: nothing is placed again
            again.delete(f"{V1}/subscriptions/{sub}")
            for _ in range(100):
                if len(there.asked) > 1:
                    break
                time.sleep(0.1)
            assert [method for method, _, _, _ in there.asked] == ["POST", "DELETE"]
    city.stop()
