# SPDX-License-Identifier: EUPL-1.2
"""A subscription (CIM 009, 5.2.12 to 5.2.15): from JSON, checked, to what matching asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from poorter.city.errors import Invalid
from poorter.city.ids import check_uri
from poorter.city.query import Query, Selector
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_moment
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.params import names_in, parse_form
from poorter.standards.ngsild.selecting import from_body, parse_selectors, parse_which

Trigger = Literal[
    "entityCreated",
    "entityUpdated",
    "entityDeleted",
    "attributeCreated",
    "attributeUpdated",
    "attributeDeleted",
]
TRIGGERS = frozenset(Trigger.__args__)  # type: ignore[attr-defined]
DEFAULT_TRIGGERS = ("attributeCreated", "attributeUpdated")
_DEFAULT = frozenset(DEFAULT_TRIGGERS)
_UPDATED = frozenset(("attributeCreated", "attributeUpdated", "attributeDeleted"))
_FORMATS = ("normalized", "concise", "simplified", "keyValues")
_ACCEPTS = ("application/json", "application/ld+json", "application/geo+json")
PERIOD_S_MAX = 366 * 86_400
LIST_MAX = 100
_TEXTS = ("subscriptionName", "description", "q", "scopeQ", "csf", "lang", "ngsildConformance")
#: members that are the system's own: ignored when they are given
READ_ONLY = frozenset(("status", "createdAt", "modifiedAt", "jsonldContext"))
OWN_COUNTS = (
    "status",
    "timesSent",
    "timesFailed",
    "lastNotification",
    "lastSuccess",
    "lastFailure",
)
_MEMBERS = (
    frozenset(
        ("id", "type", "@context", "entities", "watchedAttributes", "notificationTrigger", "geoQ")
    )
    | frozenset(
        ("timeInterval", "throttling", "isActive", "expiresAt", "datasetId", "notification")
    )
    | frozenset(("localOnly", "splitEntities", "expandValues", "jsonKeys", "temporalQ", *_TEXTS))
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where notifications go. `info`: headers, or MQTT metadata. `timeout_s`: for one answer."""

    uri: str
    accept: str = "application/json"
    info: tuple[tuple[str, str], ...] = ()
    notifier: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is asked for, and by whom: the permit of (processor, purpose) decides at each sending.

    `selectors`: entities meant, none for all. `query` holds q, geoQ and scopeQ. `via`: the brokers
    that it came through, as their Via header names them.
    """

    id: str
    doc: Mapping[str, Any]  # as given, without what is the system's
    context: Context
    processor: str
    purpose: str
    selectors: tuple[Selector, ...]
    watched: frozenset[str]
    triggers: frozenset[str]
    query: Query
    form: Form
    endpoint: Endpoint
    show_changes: bool = False
    every_s: float | None = None
    throttling_s: float = 0.0
    active: bool = True
    expires_at_us: int | None = None
    via: str = ""

    @property
    def local(self) -> bool:
        """Whether it is about what is here only (5.2.12)."""
        return bool(self.doc.get("localOnly", False))

    @property
    def types(self) -> frozenset[str]:
        """Types of the entities meant; "*" where any may be."""
        if not self.selectors or any(not one.type_sets for one in self.selectors):
            return frozenset(("*",))
        return frozenset(
            name for one in self.selectors for names in one.type_sets for name in names
        )

    def status(self, now_us: int) -> str:
        """active, paused or expired (5.2.12)."""
        if self.expires_at_us is not None and now_us >= self.expires_at_us:
            return "expired"
        return "active" if self.active else "paused"


def parse_subscription(
    doc: Any, context: Context, sub_id: str, processor: str, purpose: str, now_us: int | None
) -> Subscription:
    """A whole subscription; `now_us`: refuse one that is over already.

    Raises: Invalid naming the member.
    """
    if not isinstance(doc, dict):
        raise Invalid("a subscription is a JSON object")
    if doc.get("type") != "Subscription":
        raise Invalid('type must be "Subscription"')
    for member in doc:
        if member not in _MEMBERS and member not in READ_ONLY:
            raise Invalid(f"a subscription has no member {member!r:.60}")
    for member in _TEXTS:
        if member in doc and not isinstance(doc[member], str):
            raise Invalid(f"{member} is a text")
    selectors = parse_selectors(doc.get("entities"), context)
    watched = _names(doc, "watchedAttributes", context)
    local = _flag(doc, "localOnly", False)
    every_s = _period(doc, "timeInterval")
    throttling_s = _period(doc, "throttling")
    if not selectors and not watched and not local:
        raise Invalid("say which entities, or which watchedAttributes")
    if every_s is not None and (watched or throttling_s is not None):
        raise Invalid("timeInterval goes without watchedAttributes and throttling")
    if every_s is not None and not selectors and not local:
        raise Invalid("timeInterval needs entities")
    expires_us = _expiry(doc, now_us)
    notification = doc.get("notification")
    if not isinstance(notification, dict):
        raise Invalid("notification must be there, a JSON object")
    form = _form(doc, notification, context)
    show = _flag(notification, "showChanges", False)
    if show and form.simplified:
        raise Invalid("showChanges does not go together with keyValues")
    return Subscription(
        id=sub_id,
        doc=_kept(doc),
        context=context,
        processor=processor,
        purpose=purpose,
        selectors=selectors,
        watched=frozenset(watched),
        triggers=_triggers(doc),
        query=_query(doc, context),
        form=form,
        endpoint=parse_endpoint(notification),
        show_changes=show,
        every_s=every_s,
        throttling_s=throttling_s or 0.0,
        active=_flag(doc, "isActive", True),
        expires_at_us=expires_us,
    )


def _kept(doc: dict[str, Any]) -> dict[str, Any]:
    kept = {member: value for member, value in doc.items() if member not in READ_ONLY}
    kept.pop("@context", None)
    kept["notification"] = {
        member: value for member, value in kept["notification"].items() if member not in OWN_COUNTS
    }
    return kept


def _names(doc: Mapping[str, Any], member: str, context: Context) -> tuple[str, ...]:
    names = doc.get(member)
    if names is None:
        return ()
    if (
        not isinstance(names, list)
        or not 0 < len(names) <= LIST_MAX
        or not all(isinstance(name, str) for name in names)
    ):
        raise Invalid(f"{member} is a list of 1 to {LIST_MAX} names")
    return names_in(",".join(names), context)


def _flag(doc: Mapping[str, Any], member: str, default: bool) -> bool:
    value = doc.get(member, default)
    if not isinstance(value, bool):
        raise Invalid(f"{member} is true or false")
    return value


def _period(doc: Mapping[str, Any], member: str) -> float | None:
    value = doc.get(member)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{member} is a number of seconds")
    if not 0 < value <= PERIOD_S_MAX:
        raise Invalid(f"{member} lies above 0 and at most at {PERIOD_S_MAX} seconds")
    return float(value)


def _expiry(doc: Mapping[str, Any], now_us: int | None) -> int | None:
    if "expiresAt" not in doc:
        return None
    at_us = parse_moment("the subscription", doc["expiresAt"], "expiresAt")
    if now_us is not None and at_us <= now_us:
        raise Invalid("expiresAt lies in the past")
    return at_us


def _triggers(doc: Mapping[str, Any]) -> frozenset[str]:
    given = doc.get("notificationTrigger")
    if given is None:
        return _DEFAULT
    if not isinstance(given, list) or not given or not TRIGGERS.issuperset(map(str, given)):
        raise Invalid(f"notificationTrigger holds some of {', '.join(sorted(TRIGGERS))}")
    triggers = frozenset(given)
    return triggers | _UPDATED if "entityUpdated" in triggers else triggers


def _query(doc: Mapping[str, Any], context: Context) -> Query:
    """q, geoQ and scopeQ as a query for one entity. In a body q may be percent-encoded too."""
    members = {
        m: doc[m] for m in ("q", "csf", "geoQ", "scopeQ", "expandValues", "jsonKeys") if m in doc
    }
    given, _ = from_body({"type": "Query", **members}, context)
    if "%" in given.get("q", ""):
        given["q"] = unquote(given["q"])
    return parse_which(given, context, narrow=True)


def _form(doc: Mapping[str, Any], notification: Mapping[str, Any], context: Context) -> Form:
    given: dict[str, str] = {}
    wanted = notification.get("format", "normalized")
    if wanted not in _FORMATS:
        raise Invalid(f"notification.format is one of {', '.join(_FORMATS)}")
    given["format"] = wanted
    for member, name in (("attributes", "attrs"), ("pick", "pick"), ("omit", "omit")):
        if member in notification:
            given[name] = _joined(f"notification.{member}", notification[member])
    if "datasetId" in doc:
        given["datasetId"] = _joined("datasetId", doc["datasetId"])
    if "lang" in doc:
        given["lang"] = doc["lang"]
    if notification.get("join") is not None:
        given["join"] = str(notification["join"])
        if given["join"] != "@none":
            given["joinLevel"] = str(notification.get("joinLevel", 1))
    given["sysAttrs"] = "true" if _flag(notification, "sysAttrs", False) else "false"
    return parse_form(given, context, None)


def _joined(member: str, value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    if not 0 < len(parts) <= LIST_MAX or not all(isinstance(part, str) for part in parts):
        raise Invalid(f"{member} is a list of 1 to {LIST_MAX} texts")
    return ",".join(parts)


def parse_endpoint(notification: Mapping[str, Any]) -> Endpoint:
    """Where notifications go (5.2.15). Raises Invalid."""
    given = notification.get("endpoint")
    if not isinstance(given, dict):
        raise Invalid("notification.endpoint must be there, a JSON object")
    uri = check_uri(given.get("uri"), "notification.endpoint.uri")
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https", "mqtt", "mqtts") or not parts.hostname:
        raise Invalid("notification.endpoint.uri is an http or mqtt URL")
    if parts.scheme.startswith("mqtt") and len(parts.path) < 2:
        raise Invalid("an mqtt endpoint names a topic: mqtt://host/topic")
    accept = given.get("accept", "application/json")
    if accept not in _ACCEPTS:
        raise Invalid(f"endpoint.accept is one of {', '.join(_ACCEPTS)}")
    timeout_ms = given.get("timeout", 10_000)
    if isinstance(timeout_ms, bool) or not isinstance(timeout_ms, int | float) or timeout_ms <= 0:
        raise Invalid("endpoint.timeout is a number of milliseconds")
    return Endpoint(
        uri,
        accept,
        _pairs(given, "receiverInfo"),
        dict(_pairs(given, "notifierInfo")),
        min(timeout_ms / 1000, 30.0),
    )


def _pairs(endpoint: Mapping[str, Any], member: str) -> tuple[tuple[str, str], ...]:
    """KeyValuePairs (5.2.22), safe to send as headers."""
    found: list[tuple[str, str]] = []
    given = endpoint.get(member, [])
    if not isinstance(given, list) or len(given) > LIST_MAX:
        raise Invalid(f"endpoint.{member} is a list of at most {LIST_MAX} pairs")
    for pair in given:
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise Invalid(f"endpoint.{member} holds pairs of key and value")
        if not isinstance(pair.get("value"), str):
            raise Invalid(f"endpoint.{member} holds pairs of key and value, both texts")
        key, value = pair["key"], pair["value"]
        if not key or not (key + value).isprintable() or ":" in key or len(key + value) > 2000:
            raise Invalid(f"endpoint.{member}: {key!r:.60} can't be sent")
        found.append((key, value))
    return tuple(found)
