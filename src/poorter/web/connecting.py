# SPDX-License-Identifier: EUPL-1.2
"""What flows in: everybody sees how each connection stands; officers see what was refused, and
register devices."""

from __future__ import annotations

from starlette.responses import Response

from poorter.city.errors import Denied, Invalid
from poorter.city.text import Text
from poorter.connections.run import Standing
from poorter.identity.sessions import Session
from poorter.offices.devices import add_device, devices, revoke_device
from poorter.offices.record import OFFICER
from poorter.web.page import Visit

SHOWN_MAX = 200


def standings(visit: Visit) -> list[Standing]:
    """All connections; none in a city that is not served."""
    connections = visit.running.connections
    return [] if connections is None else connections.standings()


async def page(visit: Visit) -> Response:
    """How they stand. An officer registers a device here, or takes its key back."""
    if visit.request.method == "GET":
        return _page(visit)
    session, fields = await visit.staff_form()
    _officer(session)
    name = fields.get("device", "").strip()
    if fields.get("act") == "revoke":
        await revoke_device(visit.running, name, session.officer)
        return visit.redirect("control/connections")
    if fields.get("act") != "register":
        raise Invalid(Text("meld aan of trek in", "register or revoke"))
    return _page(visit, await add_device(visit.running, name, session.officer))


def _page(visit: Visit, secret: str = "") -> Response:
    session = visit.session
    governs = session is not None and OFFICER in session.roles
    return visit.render(
        "connections.html",
        connections=standings(visit),
        governs=governs,
        registered=sorted(devices(visit.running)) if governs else [],
        shown=SHOWN_MAX,
        secret=secret,
    )


def _officer(session: Session) -> None:
    if OFFICER not in session.roles:
        raise Denied(Text("alleen bevoegden doen dit", "only officers do this"))
