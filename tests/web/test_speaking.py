# SPDX-License-Identifier: EUPL-1.2
"""Words, numbers and moments, in Dutch and English."""

from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from poorter.city.text import Text
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US, parse_us
from poorter.ledger.leaf import LeafType
from poorter.web.speaking import Speech, choose

NOW_US = parse_us("2026-11-24T23:30:00Z")
DUTCH = Speech("nl", ZoneInfo("Europe/Amsterdam"), NOW_US)
ENGLISH = Speech("en", ZoneInfo("Europe/Amsterdam"), NOW_US)


def test_numbers_are_written_as_each_language_does() -> None:
    assert DUTCH.number(1234567.5, 1) == "1.234.567,5"
    assert ENGLISH.number(1234567.5, 1) == "1,234,567.5"
    assert DUTCH.number(None) == "–", "missing is never zero"
    assert DUTCH.number(0) == "0"


def test_moments_are_on_the_clock_of_the_city_and_name_another_day() -> None:
    assert DUTCH.clock(NOW_US) == "00:30"
    assert DUTCH.clock("2026-11-24T22:30:00Z") == "24 november, 23:30"
    assert ENGLISH.day("2027-01-05") == "5 January 2027"
    assert DUTCH.day("2026-09-15") == "15 september"
    assert DUTCH.day("soon") == "–"


def test_age_and_what_is_left() -> None:
    assert DUTCH.age(None) == "nooit gemeten"
    assert DUTCH.age(NOW_US - 3 * MINUTE_US) == "3 min oud"
    assert ENGLISH.left(NOW_US + 3 * HOUR_US) == "3 h left"
    assert ENGLISH.left(NOW_US - 3 * DAY_US) == "3 days late"
    assert (DUTCH.days(1), ENGLISH.days(42), DUTCH.days(None)) == ("1 dag", "42 days", "–")


def test_text_is_said_in_the_language_and_a_count_tells_that_it_stopped() -> None:
    both = Text("ja", "yes")
    assert DUTCH.text(both) == "ja"
    assert ENGLISH.text({"nl": "ja", "en": "yes"}) == "yes"
    assert DUTCH.text("only this") == "only this"
    assert DUTCH.counted(500, 500) == "500 of meer"
    assert DUTCH.counted(499, 500) == "499"


@pytest.mark.parametrize("kind", get_args(LeafType))
def test_each_kind_of_line_has_words(kind: str) -> None:
    assert DUTCH.word(kind) != kind


@pytest.mark.parametrize(
    ("header", "language"),
    [("en-GB,nl;q=0.5", "en"), ("fr, nl", "nl"), ("fr", "nl"), (None, "nl"), ("", "nl")],
)
def test_the_language_of_the_browser(header: str | None, language: str) -> None:
    assert choose(header) == language
