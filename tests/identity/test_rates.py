# SPDX-License-Identifier: EUPL-1.2
"""Rate limits hold per credential and stay bounded."""

import pytest

from poorter.city.errors import TooMany
from poorter.identity import rates
from poorter.identity.rates import Rates


def test_a_burst_passes_then_one_waits() -> None:
    limit = Rates(per_second=10, burst=3)
    for _ in range(3):
        limit.take("a", 0)
    with pytest.raises(TooMany) as refused:
        limit.take("a", 0)
    assert refused.value.retry_after_s >= 1
    limit.take("b", 0)
    limit.take("a", 100_000)
    with pytest.raises(TooMany):
        limit.take("a", 100_000)


def test_a_clock_set_back_gives_no_tokens() -> None:
    limit = Rates(per_second=1, burst=1)
    limit.take("a", 10_000_000)
    with pytest.raises(TooMany):
        limit.take("a", 0)


def test_buckets_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "BUCKETS_MAX", 100)
    limit = Rates(per_second=0.001, burst=1)
    for number in range(1000):
        limit.take(str(number), number)
    assert len(limit._buckets) <= 100
    with pytest.raises(TooMany):
        limit.take("999", 1000)
