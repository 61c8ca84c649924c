# SPDX-License-Identifier: EUPL-1.2
"""Finding subscriptions by what their q asks: none that is met is left out, few others come."""

import random
from functools import partial
from typing import Any

from poorter.city.matching import matches
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.subscriptions.matching import Index
from poorter.standards.ngsild.subscriptions.model import Subscription, parse_subscription
from poorter.store.body import decode_entity
from poorter.store.contract import StoredAttribute, StoredEntity

QS = ("n=={v}", "n>{v}", "n>={v};name==x", "n<{v}", "n<={v}", 'name=="w{v}"', "n!={v}", "n=={v},7")
QS += ("n=={v}|name==x", "n.accuracy=={v}", "n==1..{v}", "id==urn:x:1", "name~=w")


def subscription(number: int, q: str, which: dict[str, Any], purpose: str) -> Subscription:
    doc = {"type": "Subscription", "entities": [which], "q": q}
    doc["notification"] = {"endpoint": {"uri": "http://127.0.0.1/"}}
    return parse_subscription(doc, CORE, f"urn:s:{number}", "p", purpose, 0)


def entity(dice: random.Random) -> StoredEntity:
    bodies = [b'{"type":"Property","value":%d}' % dice.randrange(40)]
    bodies += [b'{"type":"Property","value":[3,%d]}' % dice.randrange(40)]
    bodies += [b'{"type":"Property","value":true}', b'{"type":"Property","value":2.0}']
    words = [b'{"type":"Property","value":"w%d"}' % dice.randrange(40)]
    words += [b'{"type":"LanguageProperty","languageMap":{"nl":"w3","en":"x"}}']
    words += [b'{"type":"Relationship","object":"urn:x:1"}']
    attributes = [
        StoredAttribute(name, None, dice.choice(kinds), 0, 0)
        for name, kinds in (("n", bodies), ("name", words))
        if dice.random() < 0.8
    ]
    types = dice.choice((("City",), ("Town", "City"), ("Town",)))
    return StoredEntity("urn:x:1", types, (), 1, 0, 0, tuple(attributes))


def seen_by(now: StoredEntity, sub: Subscription) -> StoredEntity | None:
    """Purpose b sees nothing."""
    return now if sub.purpose == "a" else None


def test_what_is_met_is_found_and_little_else() -> None:
    dice = random.Random(5)
    index = Index()
    subs: dict[str, Subscription] = {}
    for number in range(600):
        q = dice.choice(QS).format(v=dice.randrange(40))
        which = dice.choice(({"type": "City"}, {"type": "Town"}, {"type": "City", "id": "urn:x:1"}))
        one = subscription(number % 500, q, which, dice.choice("ab"))  # some take another's place
        subs[one.id] = one
        index.put(one)
    for sub_id in dice.sample(sorted(subs), 100):
        del subs[sub_id]
        index.remove(sub_id)
    looked_at = met = 0
    for _ in range(300):
        now = entity(dice)
        found = index.about(now.urn, now.types, partial(seen_by, now))
        assert all(subs[sub_id] is sub for sub_id, sub in found.items())
        decoded = decode_entity(now)
        for one in subs.values():
            condition = one.query.condition
            assert condition is not None
            about = not one.types.isdisjoint(now.types)
            if one.purpose == "a" and about and matches(decoded, condition):
                met += 1
                assert one.id in found, (one.doc["q"], now)
        looked_at += len(found)
    assert met > 1000
    assert index.types == {"City", "Town"}
    for sub_id in list(subs):
        index.remove(sub_id)
    assert index.types == frozenset()


def test_of_many_few_are_looked_at() -> None:
    index = Index()
    for number in range(2000):
        index.put(subscription(number, f"n=={number}", {"type": "City"}, "a"))
    body = b'{"type":"Property","value":77}'
    now = StoredEntity("urn:x:1", ("City",), (), 1, 0, 0, (StoredAttribute("n", None, body, 0, 0),))
    assert list(index.about(now.urn, now.types, lambda _: now)) == ["urn:s:77"]
