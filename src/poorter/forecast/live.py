# SPDX-License-Identifier: EUPL-1.2
"""The learnt forecast for a running city, meant for a child process: learning takes minutes and
both cores, and the library of the trees should not live beside requests.

python -m poorter.forecast.live learn FILE < table      learns, writes FILE whole or not at all
python -m poorter.forecast.live expect FILE < table     prints {place: [[hour, mean, low, high]]}

A table goes as NumPy's npz (`packed`). The last three weeks are kept apart from learning. How far
the model was off there, in units of its own idea of that, gives each place's width to start with
(split conformal); from there widths, and how far each place follows the model, go with each outcome
of the past two weeks, exactly as the backtest has it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from poorter.city.errors import CityError, Invalid
from poorter.forecast.blend import counts_whole, follow, possible, whole
from poorter.forecast.boosted import Kind, Model, available, fit, restored
from poorter.forecast.features import SCALE_HOURS, STILL_MAX, make_rows, scales, still
from poorter.forecast.interval import COVERAGE, track
from poorter.forecast.seasonal import Point
from poorter.forecast.table import Table, Values, clean

FORMAT = 1
APART_HOURS = 24 * 21
#: outcomes that are gone through again; all of them after what was learnt from
AGAIN_HOURS = 24 * 14
LEARN_HOURS_MIN = 24 * 49
#: hours times places: keeps the child under about 2 GB
CELLS_MAX = 1_500_000
#: a place with fewer outcomes among those kept apart takes the width of all together
OUTCOMES_MIN = 100


@dataclass(frozen=True, slots=True)
class Learnt:
    """A model and each place's width per horizon, for the places it knew."""

    kind: Kind
    zone: str
    places: tuple[str, ...]
    capacity: Values
    models: dict[int, tuple[Model, Values]]


def learn(table: Table, horizons: Iterable[int], kind: Kind, zone: str) -> Learnt:
    """Learn from all of `table` but its last three weeks, which measure the intervals.

    Raises: Invalid for less than seven weeks of hours, or too little in them.
    """
    hours = min(len(table.hours), CELLS_MAX // max(len(table.places), 1))
    if hours < LEARN_HOURS_MIN:
        raise Invalid(f"{hours} hours are too few to learn from: {LEARN_HOURS_MIN} at least")
    values = clean(table.values[-hours:], table.capacity)
    recent = Table(table.hours[-hours:], table.places, values, table.capacity)
    models = {h: _learn_one(recent, h, kind, zone) for h in horizons}
    return Learnt(kind, zone, table.places, table.capacity, models)


def _learn_one(table: Table, horizon: int, kind: Kind, zone: str) -> tuple[Model, Values]:
    rows, names = make_rows(table, horizon, zone)
    moved = np.full_like(table.values, np.nan)
    moved[:-horizon] = table.values[horizon:] - table.values[:-horizon]
    change = moved / scales(table.values)
    usable = ~np.isnan(change)
    apart = len(table.hours) - APART_HOURS
    past = usable.copy()
    past[apart - horizon :] = False  # outcomes kept apart are no outcomes yet
    try:
        model = fit(kind, rows[past], change[past], names)
    except ValueError as few:
        raise Invalid(str(few)) from None
    judged = usable.copy()
    judged[:apart] = False
    guess, spread = model.predict(rows[judged])
    guess[still(table.values)[judged] >= STILL_MAX] = 0.0
    return model, _widths(np.abs(change[judged] - guess) / spread, np.nonzero(judged)[1], table)


def _widths(off: Values, column: NDArray[np.intp], table: Table) -> Values:
    if len(off) < OUTCOMES_MIN:
        raise Invalid(f"{len(off)} outcomes in the last three weeks are too few to judge by")
    widths = np.full(len(table.places), np.quantile(off, COVERAGE))
    for place in range(len(table.places)):
        own = off[column == place]
        if len(own) >= OUTCOMES_MIN:
            widths[place] = np.quantile(own, min(COVERAGE * (1 + 1 / len(own)), 1.0))
    return widths


def expect(learnt: Learnt, table: Table) -> dict[str, list[Point]]:
    """The hours after the last of `table` (ten weeks of it are enough), for the places that were
    learnt and have a count in that last hour."""
    hours = table.hours[-SCALE_HOURS - AGAIN_HOURS - 48 :]
    values = np.full((len(hours), len(learnt.places)), np.nan)
    at = {name: column for column, name in enumerate(table.places)}
    for column, name in enumerate(learnt.places):
        if name in at:
            values[:, column] = table.values[-len(hours) :, at[name]]
    values = clean(values, learnt.capacity)
    recent = Table(hours, learnt.places, values, learnt.capacity)
    found: dict[str, list[Point]] = {}
    for horizon, (model, widths) in learnt.models.items():
        middle, low, high = _expect_one(recent, horizon, model, widths, learnt.zone)
        for column in np.flatnonzero(~np.isnan(middle)).tolist():
            point = Point(
                int(hours[-1]) + horizon, *(float(b[column]) for b in (middle, low, high))
            )
            found.setdefault(learnt.places[column], []).append(point)
    return found


def _expect_one(
    table: Table, horizon: int, model: Model, widths: Values, zone: str
) -> tuple[Values, Values, Values]:
    """(middle, low, high)[place] after the last hour, having gone through the hours before it."""
    rows, names = make_rows(table, horizon, zone)
    again = slice(-min(AGAIN_HOURS, len(table.hours)), None)
    shape = rows[again].shape[:2]
    moved, spread = (
        one.reshape(shape) for one in model.predict(rows[again].reshape(-1, len(names)))
    )
    stands = still(table.values)[again] >= STILL_MAX
    scale, now = scales(table.values)[again], table.values[again]
    truth = np.full_like(now, np.nan)
    truth[:-horizon] = now[horizon:]
    usual = np.asarray(rows[again][:, :, names.index("week_course")], float)
    moves = follow(
        np.where(stands, 0.0, moved),
        np.where(stands, 0.0, usual),
        (truth - now) / scale,
        horizon,
    )
    middle = possible(now + moves * scale, table.capacity, scale)
    low, high = track(middle, spread * widths * scale, truth, horizon)
    middle, low, high = whole(middle, low, high, counts_whole(table.values))
    ends = (possible(bound[-1], table.capacity, scale[-1]) for bound in (low, high))
    return middle[-1], *ends


def packed(table: Table) -> bytes:
    """A table as bytes, for `unpacked`."""
    out = io.BytesIO()
    names = np.array(table.places, dtype=np.str_)
    np.savez_compressed(
        out, hours=table.hours, places=names, values=table.values, capacity=table.capacity
    )
    return out.getvalue()


def unpacked(data: bytes) -> Table:
    """A table from bytes. Raises: Invalid for other bytes."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            places = tuple(str(name) for name in parts["places"])
            return Table(parts["hours"], places, parts["values"], parts["capacity"])
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as wrong:
        raise Invalid(f"this is no table: {wrong}") from None


def write_learnt(file: Path, learnt: Learnt) -> None:
    """Write `file` whole: who reads it meanwhile finds the one before."""
    models = {h: [model.state(), widths.tolist()] for h, (model, widths) in learnt.models.items()}
    capacity = [None if np.isnan(one) else float(one) for one in learnt.capacity]
    document = {
        "format": FORMAT,
        "kind": learnt.kind,
        "zone": learnt.zone,
        "places": learnt.places,
        "capacity": capacity,
        "models": models,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(document), "utf-8")
    fresh.replace(file)


def read_learnt(file: Path) -> Learnt:
    """Raises: Invalid for a file that `write_learnt` did not write, OSError."""
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if found["format"] != FORMAT:
            raise Invalid(f"{file.name} has format {found['format']}: it must be learnt again")
        capacity = np.array([np.nan if c is None else c for c in found["capacity"]], float)
        models = {
            int(horizon): (restored(found["kind"], state), np.array(widths))
            for horizon, (state, widths) in found["models"].items()
        }
    except (ValueError, KeyError, TypeError) as wrong:
        raise Invalid(f"{file.name} is no learnt forecast: {wrong}") from None
    return Learnt(found["kind"], found["zone"], tuple(found["places"]), capacity, models)


def main(argv: list[str] | None = None) -> int:
    """The child process. What is wrong goes to stderr, with exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m poorter.forecast.live", description=__doc__)
    parser.add_argument("verb", choices=["learn", "expect"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", choices=["boosted", "numpy"], default="boosted")
    parser.add_argument("--zone", default="UTC")
    parser.add_argument("--hours", type=int, default=6, help="how many hours ahead")
    chosen = parser.parse_args(argv)
    os.nice(10)  # requests come first
    try:
        table = unpacked(sys.stdin.buffer.read())
        if chosen.verb == "learn":
            kind: Kind = available() if chosen.model == "boosted" else "numpy"
            learnt = learn(table, range(1, chosen.hours + 1), kind, chosen.zone)
            write_learnt(chosen.file, learnt)
            return 0
        learnt = read_learnt(chosen.file)
        points = expect(learnt, table)
        told = {name: [[p.hour, p.mean, p.low, p.high] for p in ps] for name, ps in points.items()}
        sys.stdout.write(json.dumps({"kind": learnt.kind, "places": told}))
    except (CityError, OSError) as wrong:
        sys.stderr.write(f"forecast: {wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
