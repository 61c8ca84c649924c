# SPDX-License-Identifier: EUPL-1.2
"""python -m bench [PART ...]: the table of the design's budgets, and what is not measured."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import history, hot, loading, memory, million, share, subscribing
from bench.cities import ROOT, found
from bench.lines import CAVEATS, Line, Lines

PARTS = ("hot", "memory", "share", "load", "subscriptions", "million", "history")


def measure(parts: list[str], scratch: Path) -> Lines:
    """The lines of these parts, as they come."""
    small, big = scratch / "small", scratch / "big"
    found(small, hot.ENTITIES)
    if "hot" in parts:
        yield from hot.measure(small, scratch)
    if "memory" in parts:
        yield from memory.measure(small, hot.ENTITIES)
    if "share" in parts:
        yield from share.measure(small, hot.ENTITIES)
    if "load" in parts:
        yield from loading.measure(scratch)
    if "subscriptions" in parts:
        yield from subscribing.measure(scratch)
    if "million" in parts:
        rate = found(big, million.ENTITIES)
        yield Line("filling 1,000,000 entities through the store", "", f"{rate:,.0f}/s")
        yield from million.measure(big, small, hot.ENTITIES)
    if "history" in parts:
        yield from history.measure(scratch)


def main() -> int:
    """Print the table; kept in bench/results/latest.json."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    out: Callable[[str], int] = sys.stdout.write
    load = os.getloadavg()[0]
    out(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, "
        f"load by others {load:.1f}\n\n"
    )
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for line in measure(parts, Path(folder)):
            lines.append(line)
            mark = {True: "met", False: "MISSED", None: ""}[line.met]
            out(f"{line.what:54} {line.bar:40} {line.measured}  {mark}\n")
            sys.stdout.flush()
    keep(lines, whole=set(parts) == set(PARTS), load=load)
    out(CAVEATS)
    return 0


def keep(lines: list[Line], whole: bool, load: float) -> None:
    """Write bench/results/latest.json; of a run in part only its own lines change."""
    file = ROOT / "bench" / "results" / "latest.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_by_others": round(load, 1),
    }
    known = [] if whole or not file.exists() else json.loads(file.read_text())["lines"]
    rows = {row["what"]: row for row in known} | {line.what: asdict(line) | about for line in lines}
    file.write_text(json.dumps({"lines": list(rows.values())}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
