# SPDX-License-Identifier: EUPL-1.2
"""The OpenAPI document: all routes are in it, what it says is so, and nothing that is made from it
brings a live city to a 5xx, a hang, or an answer other than described."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.ngsild.test_http import V1, open_city
from tests.served import served

from poorter.standards.ngsild.app import ROUTES
from poorter.standards.ngsild.openapi import _ROWS, document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: what is made from schemas alone: a few of each route keep the suite short
EXAMPLES = 6
EXAMPLES_SOAK = 200


def test_every_route_is_described_and_nothing_else_is() -> None:
    routes = {f"{method} /{'/'.join(path)}" for path, by in ROUTES.items() for method in by}
    assert routes - {"GET /openapi.json"} == set(_ROWS)
    operations = [
        one["operationId"]
        for path in document(ROUTES)["paths"].values()
        for method, one in path.items()
        if method != "parameters"
    ]
    assert len(set(operations)) == len(operations)


def test_every_parameter_described_is_known_to_its_route(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_city(tmp_path) as (_, client):
            doc = (await client.get(f"{V1}/openapi.json")).json()
            unknown = []
            for path, operations in doc["paths"].items():
                url = V1 + path.replace("{id}", "urn:x:y").replace("{instance}", "urn:x:z")
                url = url.replace("{attr}", "n").replace("{type}", "T").replace("{context}", "c")
                for method, one in operations.items():
                    if method == "parameters":
                        continue
                    for parameter in one["parameters"]:
                        query = {parameter["name"]: "~"}
                        answer = await client.request(method, url, params=query, json={})
                        if "there is no parameter" in answer.text:
                            unknown.append((method, path, parameter["name"]))
            assert unknown == []

    asyncio.run(run())


def ask_everything(folder: Path, examples: int) -> None:
    """So many requests of each operation, made from the document, against a live city."""
    with served(folder / "city") as city:
        base = city.url
        doc = httpx.get(f"{base}{V1}/openapi.json").json()
        schema = schemathesis.openapi.from_dict(doc)
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=examples,
                deadline=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy())
            def answered(case: Any) -> None:
                response = case.call(base_url=f"{base}{V1}", timeout=10)
                case.validate_response(response, checks=CHECKS)

            answered()


def test_requests_made_from_the_document_are_answered_as_it_says(tmp_path: Path) -> None:
    ask_everything(tmp_path, EXAMPLES)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_more_requests_made_from_the_document(tmp_path: Path) -> None:
    ask_everything(tmp_path, EXAMPLES_SOAK)
