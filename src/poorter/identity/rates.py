# SPDX-License-Identifier: EUPL-1.2
"""Rate limits: a token bucket per credential. Bounded: idle buckets are full ones, so they go."""

from __future__ import annotations

from poorter.city.errors import TooMany
from poorter.city.text import Text

BUCKETS_MAX = 100_000


class Rates:
    """At most `per_second` requests a second on average, `burst` at once, per key."""

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self.burst = burst
        self._buckets: dict[str, tuple[float, int]] = {}

    def take(self, key: str, now_us: int, cost: float = 1.0) -> None:
        """Let one request pass, or raise TooMany with the seconds to wait."""
        tokens, since_us = self._buckets.get(key, (float(self.burst), now_us))
        elapsed_s = max(0, now_us - since_us) / 1_000_000
        tokens = min(float(self.burst), tokens + elapsed_s * self.per_second)
        if tokens < cost:
            wait_s = max(1, round((cost - tokens) / self.per_second + 0.5))
            raise TooMany(
                Text(
                    "dit gaat te snel: wacht even en probeer het opnieuw",
                    f"at most {self.per_second:g} requests a second",
                ),
                wait_s,
            )
        if key not in self._buckets and len(self._buckets) >= BUCKETS_MAX:
            self._forget(now_us)
        self._buckets[key] = (tokens - cost, now_us)

    def _forget(self, now_us: int) -> None:
        """Drop the buckets that have filled up again; if none has, the fuller half."""
        refill_us = self.burst / self.per_second * 1_000_000
        live = {k: v for k, v in self._buckets.items() if now_us - v[1] < refill_us}
        if len(live) >= BUCKETS_MAX:
            ordered = sorted(live.items(), key=lambda item: item[1][0])
            live = dict(ordered[: BUCKETS_MAX // 2])
        self._buckets = live
