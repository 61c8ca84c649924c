# SPDX-License-Identifier: EUPL-1.2
"""Dutch and English: words, numbers, moments and spans as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.city.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US, parse_us

LANGUAGES = ("nl", "en")
_MONTHS = {
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "en": "January February March April May June July August September October November December",
}
#: words that data carries and pages show
_WORDS = {
    "free": ("vrij", "free"),
    "few": ("bijna vol", "nearly full"),
    "full": ("vol", "full"),
    "closed": ("dicht", "closed"),
    "open": ("open", "open"),
    "fresh": ("vers", "fresh"),
    "old": ("oud", "old"),
    "silent": ("stil", "silent"),
    "failing": ("hapert", "failing"),
    "stopped": ("staat stil", "stands still"),
    "too often": ("te vaak", "too often"),
    "too large": ("te groot", "too large"),
    "unknown device": ("onbekend apparaat", "unknown device"),
    "payload": ("niet te lezen", "can't be read"),
    "answer": ("antwoord op geen opdracht", "answer to no command"),
    "row": ("hele regel", "whole row"),
    "topic": ("geen apparaat in het onderwerp", "no device in the topic"),
    "not let in": ("niet toegelaten", "not let in"),
    "quiet": ("rustig", "quiet"),
    "normal": ("gewoon", "as usual"),
    "busy": ("druk", "busy"),
    "very-busy": ("heel druk", "very busy"),
    "high": ("hoog", "high"),
    "medium": ("midden", "medium"),
    "low": ("laag", "low"),
    "reserved": ("gereserveerd", "reserved"),
    "arrived": ("aangekomen", "arrived"),
    "cancelled": ("afgezegd", "cancelled"),
    "no-show": ("niet gekomen", "did not come"),
    "displaced": ("plek was bezet", "place was taken"),
    "ended": ("voorbij", "over"),
    "received": ("ontvangen", "received"),
    "in-review": ("in behandeling", "in review"),
    "upheld": ("u krijgt gelijk", "you are right"),
    "rejected": ("afgewezen", "rejected"),
    "withdrawn": ("ingetrokken", "withdrawn"),
    "accept": ("volgde het advies", "followed the advice"),
    "amend": ("week af van het advies", "departed from the advice"),
    "refuse": ("wees het advies af", "refused the advice"),
    "acted": ("uitgevoerd", "carried out"),
    "measured": ("uitgevoerd en gemeten", "carried out and measured"),
    "refused": ("afgewezen", "refused"),
    "automatic": ("automatisch", "automatic"),
    "by-hand": ("met de hand", "by hand"),
    "signText": ("bord", "sign"),
    "overflowGate": ("toegang overloopterrein", "gate of the overflow ground"),
    "totalSpotNumber": ("plekken", "places"),
    "disabledSpotNumber": ("gehandicaptenplekken", "blue-badge places"),
    "availableDisabledSpotNumber": ("daarvan vrij", "of those free"),
    "priceRatePerMinute": ("euro per minuut", "euro a minute"),
    "status": ("toestand", "status"),
    "category": ("soort", "category"),
    "overflow": ("overloopterrein", "overflow ground"),
    "floodRisk": ("kan overstromen", "may flood"),
    "goal": ("doel", "goal"),
    "genesis": ("het begin", "the beginning"),
    "audit": ("verantwoording van een gebruik", "account of a use"),
    "heads": ("dagkaart van wie hoeveel regels heeft", "daily map of how many lines each has"),
    "spooled": ("later ingeschreven", "entered later"),
    "policy": ("wijziging van wie wat mag", "change of who may do what"),
    "use": ("gebruik van persoonsgegevens", "use of personal data"),
    "uses": ("telling van gebruik", "count of uses"),
    "denials": ("telling van geweigerde vragen", "count of refused requests"),
    "advice": ("advies", "advice"),
    "decision": ("besluit", "decision"),
    "action": ("handeling", "action"),
    "objection": ("bezwaar", "objection"),
    "outcome": ("wat ervan kwam", "what came of it"),
    "load": ("geladen bestand", "loaded file"),
    "session": ("in- of uitloggen", "log-in or log-out"),
    "held": ("daarvan gereserveerd", "of those held"),
    "total": ("plekken in totaal", "places in all"),
    "observed_at": ("geteld", "counted at"),
    "taken_share": ("deel bezet", "share taken"),
    "places": ("getelde plaatsen", "sites counted"),
    "OffStreetParking": ("parkeerplaats", "parking place"),
    "CrowdFlowObserved": ("voetgangersteller", "pedestrian counter"),
    "KeyPerformanceIndicator": ("maatstaf", "indicator"),
    "internal": ("intern", "internal"),
    "personal": ("persoonlijk", "personal"),
    "special": ("bijzonder", "special"),
    "city-hall": ("stadhuis", "city hall"),
    "mobility": ("mobiliteit", "mobility"),
    "purpose": ("doel", "purpose"),
    "erasure": ("wissen", "erase"),
    "hold": ("bewaren voor een geschil", "keep for a dispute"),
    "opening": ("openen in nood", "open in an emergency"),
    "translation": ("een nummer vertalen", "translate an id"),
    "dataset": ("gegevens", "data"),
    "processor": ("verwerker", "processor"),
    "own": ("van de stad zelf", "the city's own"),
    "supplier": ("leverancier", "supplier"),
    "research": ("onderzoek", "research"),
    "given": ("gegeven", "given"),
    "objected": ("bezwaar gemaakt", "objected"),
    "lifted": ("bezwaar teruggenomen", "objection lifted"),
    "read": ("lezen", "read"),
    "write": ("schrijven", "write"),
    "command": ("opdracht geven", "command"),
    "administer": ("beheren", "administer"),
    "advise": ("adviseren", "advise"),
    "public": ("iedereen", "everyone"),
    "staff": ("medewerkers", "staff"),
    "officer": ("bevoegde", "officer"),
    "operator": ("meldkamer", "operator"),
    "clerk": ("griffie", "clerk"),
    "desk": ("loket", "desk"),
    "substantial": ("substantieel", "substantial"),
    "forecast": ("de verwachting", "the forecast"),
    "neighbourhood": ("de buurt", "the neighbourhood"),
    "availableSpotNumber": ("vrije plekken", "free places"),
    "peopleCount": ("mensen per uur", "people an hour"),
}


@dataclass(frozen=True, slots=True)
class Speech:
    """One language in one time zone."""

    language: str
    zone: ZoneInfo
    now_us: int

    def say(self, nl: str, en: str) -> str:
        """The sentence in this language."""
        return nl if self.language == "nl" else en

    def text(self, value: Text | Mapping[str, str] | str | None) -> str:
        """A Text, its plain form in results and records, or what exists in one language only."""
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, Text):
            return value.for_language(self.language)
        return str(value.get(self.language, ""))

    def word(self, value: object) -> str:
        """A word that data carries, for people; itself when it is none of those."""
        if isinstance(value, bool):
            return self.say("ja", "yes") if value else self.say("nee", "no")
        if isinstance(value, float):
            return self.number(value, 0 if value == int(value) else 3)
        found = _WORDS.get(str(value))
        return str(value) if found is None else self.say(*found)

    def number(self, value: object, digits: int = 0) -> str:
        """A number; a dash when it is not known."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return "–"
        text = f"{value:,.{digits}f}"
        if self.language == "nl":
            text = text.replace(",", " ").replace(".", ",").replace(" ", ".")
        return text

    def percent(self, share: object) -> str:
        """A share of 1 as percent."""
        return f"{self.number(share * 100)} %" if isinstance(share, int | float) else "–"

    def local(self, at_us: int) -> datetime:
        """The moment on the city's clock."""
        return datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(self.zone)

    def clock(self, value: object) -> str:
        """Hour and minute, with the day when it is another one."""
        at_us = moment_us(value)
        if at_us is None:
            return "–"
        moment = self.local(at_us)
        if moment.date() == self.local(self.now_us).date():
            return moment.strftime("%H:%M")
        return f"{self.day(at_us)}, {moment:%H:%M}"

    def time(self, at_us: int) -> str:
        """Hour and minute."""
        return self.local(at_us).strftime("%H:%M")

    def day(self, value: object) -> str:
        """Day and month, with the year when it is another one. A date alone is that day."""
        at_us = moment_us(value)
        if at_us is not None:
            moment = self.local(at_us).date()
        else:
            try:
                moment = date.fromisoformat(str(value))
            except ValueError:
                return "–"
        month = _MONTHS[self.language].split()[moment.month - 1]
        year = "" if moment.year == self.local(self.now_us).year else f" {moment.year}"
        return f"{moment.day} {month}{year}"

    def age(self, value: object) -> str:
        """How long ago."""
        at_us = moment_us(value)
        if at_us is None:
            return self.say("nooit gemeten", "never measured")
        return self.say(
            f"{self.span(self.now_us - at_us)} oud", f"{self.span(self.now_us - at_us)} old"
        )

    def counted(self, count: int, limit: int) -> str:
        """A count that stopped at `limit`."""
        text = self.number(count)
        return text if count < limit else self.say(f"{text} of meer", f"{text} or more")

    def days(self, count: int | None) -> str:
        """A number of days; a dash for no limit."""
        if count is None:
            return "–"
        return self.say(
            *(("1 dag", "1 day") if count == 1 else (f"{count} dagen", f"{count} days"))
        )

    def left(self, value: object) -> str:
        """How long there still is, or for how long it is over."""
        at_us = moment_us(value)
        if at_us is None:
            return "–"
        left_us = at_us - self.now_us
        if left_us >= 0:
            return self.say(f"nog {self.span(left_us)}", f"{self.span(left_us)} left")
        return self.say(f"{self.span(-left_us)} te laat", f"{self.span(-left_us)} late")

    def span(self, span_us: int) -> str:
        """A span in its largest fitting unit."""
        span_us = max(span_us, 0)
        if span_us < 90 * SECOND_US:
            return f"{span_us // SECOND_US} s"
        if span_us < 90 * MINUTE_US:
            return f"{span_us // MINUTE_US} min"
        if span_us < 48 * HOUR_US:
            return self.say(f"{span_us // HOUR_US} uur", f"{span_us // HOUR_US} h")
        return self.say(f"{span_us // DAY_US} dagen", f"{span_us // DAY_US} days")


def moment_us(value: object) -> int | None:
    """Microseconds from either form that data carries; None for neither."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    try:
        return parse_us(str(value))
    except Invalid:
        return None


def choose(header: str | None) -> str:
    """The language of an Accept-Language header: whichever of ours comes first; else Dutch."""
    for part in (header or "").lower().split(","):
        language = part.split(";")[0].strip()[:2]
        if language in LANGUAGES:
            return language
    return "nl"


def plain(value: Any) -> str:
    """Any value as short text, for tables."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
