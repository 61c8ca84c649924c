# SPDX-License-Identifier: EUPL-1.2
"""Pages that any system gets for free: what it is for, and a form for each thing it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from poorter.city.errors import CityError, Denied, Invalid, NotFound
from poorter.city.text import Text
from poorter.systems.shape import Operation, System
from poorter.web.page import Visit
from poorter.web.parking import local_moment


async def system(visit: Visit) -> Response:
    """What a system is for, what it must never do, and what one may ask of it."""
    return visit.render("system.html", y=_system(visit))


def _system(visit: Visit) -> System:
    name = visit.request.path_params["system"]
    for found in visit.running.systems:
        if found.name == name:
            return found
    raise NotFound(Text("dat systeem heeft deze stad niet", "this city has no such system"))


async def operation(visit: Visit) -> Response:
    """The form derived from the declared fields, and the answer under it."""
    system = _system(visit)
    _, found = visit.pages.acts.find(system.name, visit.request.path_params["operation"])
    posted = visit.request.method == "POST"
    given = await visit.form() if posted else dict(visit.request.query_params)
    if posted != (found.kind == "act") and (posted or given):
        raise Invalid(
            Text("dit formulier wordt anders verstuurd", "this form is sent in the other way")
        )
    told: dict[str, Any] | None = None
    wrong: CityError | None = None
    if posted or given or (found.kind == "ask" and not _needs(found)):
        try:
            told = await visit.act(system.name, found.name, _inputs(visit, found, given))
        except Denied:
            raise
        except CityError as error:
            wrong = error
    return visit.render(
        "operation.html",
        wrong.status if wrong is not None else 200,
        y=system,
        o=found,
        given=given,
        told=told,
        wrong=wrong,
    )


def _needs(found: Operation) -> bool:
    return any(field.required for field in found.fields)


def _inputs(visit: Visit, found: Operation, given: Mapping[str, str]) -> dict[str, Any]:
    """What the form sent; moments on the city's clock become UTC."""
    inputs: dict[str, Any] = {name: value for name, value in given.items() if value}
    for field in found.fields:
        if field.kind == "moment" and field.name in inputs:
            inputs[field.name] = local_moment(visit, inputs[field.name])
    return inputs
