# SPDX-License-Identifier: EUPL-1.2
"""Find a place, reserve it, and what one may do with a reservation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response

from poorter.city.errors import CityError, Invalid
from poorter.city.text import Text
from poorter.city.time import MINUTE_US, SECOND_US, format_us, parse_us
from poorter.web.drawing import draw_map
from poorter.web.page import Visit
from poorter.web.scene import grounds, parking_marks, spot

ACTS = ("cancel", "extend", "arrive", "occupied")


async def find(visit: Visit) -> Response:
    """The form, the map to choose on, and the advice once a destination is chosen."""
    query = visit.request.query_params
    destination = query.get("destination", "")
    known = await visit.ask("parking", "places")
    streets = await visit.ask("crowds", "now")
    result, wrong = None, None
    if destination:
        try:
            result = await _found(visit, destination)
        except CityError as error:
            wrong = error
    kept = {k: query[k] for k in ("stay_minutes", "badge", "arrival") if query.get(k)}
    link = f"{visit.href('parking')}?{urlencode(kept)}&destination={{place}}"
    places = known["places"] if known else []
    map_ = draw_map(
        grounds(visit),
        parking_marks(visit, places, link),
        visit.speech.say("Kaart: kies waar u moet zijn", "Map: choose where you must be"),
        link,
        spot(destination),
    )
    named = [(p["name"], p["location"]) for p in (streets["places"] if streets else [])]
    named += [(p["name"], p["location"]) for p in places]
    return visit.render(
        "parking.html",
        known=known,
        places=places,
        named=[(n, f"{at[0]},{at[1]}") for n, at in named if at],
        destination=destination,
        stay=query.get("stay_minutes", "120"),
        badge=query.get("badge", ""),
        arrival=query.get("arrival", ""),
        result=result,
        wrong=wrong,
        map=map_,
    )


async def _found(visit: Visit, destination: str) -> dict[str, Any] | None:
    query = visit.request.query_params
    inputs: dict[str, Any] = {"destination": destination}
    if query.get("stay_minutes"):
        inputs["stay_minutes"] = query["stay_minutes"]
    if query.get("badge"):
        inputs["badge"] = query["badge"]
    if query.get("arrival"):
        inputs["arrival"] = local_moment(visit, query["arrival"])
    return await visit.ask("parking", "find", **inputs)


def local_moment(visit: Visit, text: str) -> str:
    """A form's local date and time, or one with zone, as ISO 8601 UTC. Raises Invalid."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(Text("dit is geen datum en tijd", "this is no date and time")) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(visit.running.config.city_time_zone))
    return format_us(int(moment.astimezone(UTC).timestamp() * SECOND_US))


async def reserve(visit: Visit) -> Response:
    """Reserve, and show the code once."""
    fields = await visit.form()
    inputs = {k: fields[k] for k in ("place", "arrival", "badge") if fields.get(k)}
    made = await visit.act("parking", "reserve", inputs)
    return visit.render("reservation.html", r=made, token=made["token"], fresh=True)


async def mine(visit: Visit) -> Response:
    """Type the code; then cancel, extend, arrive, or say that somebody stands there."""
    if visit.request.method == "GET":
        return visit.render("mine.html")
    fields = await visit.form()
    token = fields.get("token", "").strip().lower()
    act = fields.get("act", "")
    if act in ACTS:
        inputs = {"token": token}
        if act == "extend":
            inputs["until"] = await _later(visit, token, fields)
        told = await visit.act("parking", act, inputs)
        token = told.get("token", token)
    else:
        told = await _known(visit, token)
    return visit.render("reservation.html", r=told, token=token, fresh="instead_of" in told)


async def _later(visit: Visit, token: str, fields: dict[str, str]) -> str:
    """So many minutes more than the place waits already."""
    minutes = fields.get("minutes", "20")
    if not minutes.isdecimal() or not 1 <= int(minutes) <= 30:
        raise Invalid(Text("1 tot 30 minuten", "1 to 30 minutes"))
    found = await _known(visit, token)
    return format_us(parse_us(found["until"]) + int(minutes) * MINUTE_US)


async def _known(visit: Visit, token: str) -> dict[str, Any]:
    found = await visit.ask("parking", "reservation", token=token)
    if found is None:
        raise Invalid(
            Text("Deze code kennen wij niet (meer).", "We don't know this code (any more).")
        )
    return found
