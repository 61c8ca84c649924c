"""Changes that come faster than they can be told: folded in their order, and nothing unsaid."""

import random

from tests.permits import READ

from poorter.standards.ngsild.subscriptions.waiting import Waiting
from poorter.store.contract import Changed, StoredAttribute, StoredEntity


def entity(urn: str, value: int) -> StoredEntity:
    body = b'{"type":"Property","value":%d}' % value
    attribute = StoredAttribute("n", None, body, 0, 0)
    return StoredEntity(urn, ("City",), (), value, 0, 0, (attribute,))


def change(urn: str, value: int) -> Changed:
    before = entity(urn, value - 1) if value else None
    return Changed(value, value, urn, before, entity(urn, value))


def taken(waiting: Waiting) -> list[Changed]:
    return list(iter(waiting.take, None))


def test_what_fits_is_told_one_by_one() -> None:
    waiting = Waiting(3)
    changes = [change("urn:x:1", n) for n in range(3)]
    waiting.put(changes)
    assert taken(waiting) == changes
    assert waiting.missed() is None and (waiting.folded, waiting.lost) == (0, 0)


def test_what_does_not_is_folded_and_said() -> None:
    waiting = Waiting(2)
    waiting.put([change("urn:x:1", n) for n in range(6)])
    assert len(waiting) == 3
    assert waiting.missed() is None, "first what waits is told"
    *whole, folded = taken(waiting)
    assert [one.sequence for one in whole] == [0, 1]
    before, after = folded.before(READ), folded.after(READ)
    assert before is not None and after is not None
    assert (before.version, after.version, folded.sequence) == (1, 5, 5)
    missed = waiting.missed()
    assert missed is not None and missed.changes == waiting.folded == 3
    assert (missed.urns, missed.types, missed.beyond) == ({"urn:x:1"}, {"City"}, False)
    assert waiting.missed() is None, "it is said once"


def test_more_entities_than_there_is_room_for() -> None:
    waiting = Waiting(2)
    waiting.put([change(f"urn:x:{n}", 1) for n in range(7)])
    assert [one.urn for one in taken(waiting)] == [f"urn:x:{n}" for n in range(4)]
    missed = waiting.missed()
    assert missed is not None and missed.changes == waiting.lost == 3
    assert missed.urns == {"urn:x:4", "urn:x:5"} and missed.beyond


def test_any_pace_leaves_each_entity_as_it_is() -> None:
    """Whoever puts what they are told over what they know ends where the entity has ended."""
    dice = random.Random(3)
    for _ in range(200):
        waiting = Waiting(dice.randrange(4, 9))
        values, known = dict.fromkeys("abcd", -1), dict.fromkeys("abcd", -1)

        def tell(one: Changed, known: dict[str, int] = known) -> None:
            before, after = one.before(READ), one.after(READ)
            assert after is not None
            assert (before.version if before else -1) == known[one.urn], "no step is left out"
            known[one.urn] = after.version

        for _ in range(dice.randrange(60)):
            if dice.random() < 0.6:
                urn = dice.choice("abcd")
                values[urn] += 1
                waiting.put([change(urn, values[urn])])
            elif (one := waiting.take()) is not None:
                tell(one)
        for one in taken(waiting):
            tell(one)
        assert known == values and waiting.lost == 0
