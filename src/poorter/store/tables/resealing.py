# SPDX-License-Identifier: EUPL-1.2
"""Values that are kept sealed, sealed anew in their places: state, history and instances. Nothing
else of them changes, so nobody is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec

from poorter.city.errors import Denied
from poorter.city.time import parse_us
from poorter.gate.permit import SEALED, Permit
from poorter.store import contract as c
from poorter.store.tables.port import Connection

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Resealing:
    """Writes Reseal ops."""

    def __init__(
        self, connection: Connection, flush: Callable[[], None], changed: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._run = connection.execute
        self._flush = flush
        self._changed = changed

    def reseal(self, op: c.Reseal, permit: Permit, now_us: int) -> int:
        """How many values. Raises Denied for a type without a rule."""
        self._flush()
        row = next(self._run("SELECT id, types FROM entity WHERE urn = ?", (op.urn,)), None)
        if row is None:
            return 0
        if permit.rule_of(tuple(str(row[1]).split(" "))) is None:
            raise Denied
        with self._connection.overwriting():
            number = self._state(int(row[0]), op) + self._instances(op)
        self._changed(op.urn)
        return number

    def _state(self, entity: int, op: c.Reseal) -> int:
        number = 0
        rows = self._run(
            "SELECT a.id, n.name, a.dataset, a.body FROM attribute a JOIN name n ON n.id = a.name "
            "WHERE a.entity = ?",
            (entity,),
        )
        for attribute, name, dataset, body in list(rows):
            if name[:1] == SEALED:
                continue
            turned = _turned(op, name, dataset, body)
            if turned is not None:
                text = turned["value"]
                self._do(
                    "UPDATE attribute SET body = ?, txt = CASE WHEN txt IS NULL THEN NULL ELSE ? "
                    "END WHERE id = ?",
                    _encode(turned),
                    text,
                    attribute,
                )
                number += 1
            number += self._history(attribute, name, dataset or None, op)
        return number

    def _history(self, attribute: int, name: str, dataset: str | None, op: c.Reseal) -> int:
        said = self._connection.words(
            "SELECT attribute, observed_us, sequence, received_us, quality, value FROM history "
            "WHERE attribute = ?",
            (attribute,),
        )
        with closing(said) as rows:
            kept = [tuple(row) for row in rows]
        anew: list[Any] = []
        for row in kept:
            if not isinstance(row[5], str):
                continue
            text = op.turn(name, dataset, row[1], row[5])
            if text != row[5]:
                anew.append((*row[:5], text))
        for row in anew:
            self._do(
                "DELETE FROM history WHERE attribute = ? AND observed_us = ? AND sequence = ?",
                *row[:3],
            )
        if anew:
            self._connection.add_words(anew)
        return len(anew)

    def _instances(self, op: c.Reseal) -> int:
        number = 0
        rows = self._run(
            "SELECT name, dataset, observed_us, n, body FROM instance WHERE urn = ?", (op.urn,)
        )
        for name, dataset, observed_us, n, body in list(rows):
            turned = _turned(op, name, dataset, body)
            if turned is not None:
                self._do(
                    "UPDATE instance SET body = ? WHERE urn = ? AND name = ? AND dataset = ? "
                    "AND observed_us = ? AND n = ?",
                    _encode(turned),
                    *(op.urn, name, dataset, observed_us, n),
                )
                number += 1
        return number

    def _do(self, sql: str, *values: Any) -> None:
        list(self._run(sql, values))


def _turned(op: c.Reseal, name: str, dataset: str, body: bytes) -> dict[str, Any] | None:
    """A normalised instance with its value sealed anew; None where nothing changes."""
    doc: dict[str, Any] = _decode(body)
    value = doc.get("value")
    if not isinstance(value, str):
        return None
    moment = doc.get("observedAt")
    observed_us = None if moment is None else parse_us(moment)
    text = op.turn(name, dataset or None, observed_us, value)
    return None if text == value else {**doc, "value": text}
