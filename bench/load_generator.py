# SPDX-License-Identifier: EUPL-1.2
"""wrk against a process of its own, a few seconds at a time."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests a second, latencies in milliseconds, and how many answers were no 2xx."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def failures(self) -> str:
        """Words for the table, when there were any."""
        return f", {self.failed} FAILED" if self.failed else ""


def best(rounds: Sequence[Measured]) -> Measured:
    """The round that others disturbed least."""
    return max(rounds, key=lambda one: one.per_second)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of rates that were measured right after one another: the middle one and the best."""

    middle: float
    best: float

    def __str__(self) -> str:
        return f"{self.best:.2f} (of all rounds {self.middle:.2f})"


def ratio(rates: Sequence[float], bases: Sequence[float]) -> Ratio:
    """Round by round."""
    found = sorted(rate / base for rate, base in zip(rates, bases, strict=True))
    return Ratio(median(found), found[-1])


def wrk(url: str, script: str = "", connections: int = 64, seconds: int = 4) -> Measured:
    """Run wrk with a Lua script of its own."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    with tempfile.TemporaryDirectory() as folder:
        if script:
            file = Path(folder) / "request.lua"
            file.write_text(script)
            command += ["-s", str(file)]
        said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Measured(
        float(_one(r"Requests/sec:\s+([\d.]+)", said)),
        _latency("50%", said),
        _latency("99%", said),
        int(failed[1]) if failed else 0,
    )


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk said something else: {text[:300]}")
    return found[1]


def _latency(name: str, text: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)", text)
    if found is None:
        raise ValueError(f"wrk said something else: {text[:300]}")
    return float(found[1]) * _UNITS_MS[found[2]]
