# SPDX-License-Identifier: EUPL-1.2
"""A row of the table, and the caveats that stand below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table. `met` None: not measured, or no bar."""

    what: str
    bar: str
    measured: str
    met: bool | None = None


Lines = Iterator[Line]

CAVEATS = """
Read ratios, not digits: the two cores are shared with the load generator, the receiver of
notifications and whatever else this machine does. Each ratio is of figures measured right
after one another; the best pair counts, the middle one stands beside it.
- base: granian, RSGI, one worker, 204 to everything. 64 connections unless a row says otherwise.
- updates and batches carry observedAt: state, value index, history and event are written, then
  one fsync.
- bare SQLite: the same rows into the same tables, known ids, one executemany a table, one commit
  a batch.
- query at 1,000,000: 0.1 % of the entities lie in the circle, a third of those meet q, the first
  20 by id are answered. Query of few: q alone leaves 0.1 %, the circle 20 of those.
- share of gate and ledger: thread CPU clocks around the gate, its permits and counts of use, and
  the CPU of the ledger's steps, twice a second, in a city in the bench's own process; against the
  CPU time a request of a served city under wrk, at its rate; the middle of three.
- file load: the bare script reads the same CSV with the csv module and writes the same tables,
  5,000 readings a commit; it checks nothing.
- subscriptions: each about one entity; updates go to entities that somebody follows. Delivery is
  from the moment before the update is sent to its arrival at the receiver, at half the rate the
  city can deliver at.
"""
