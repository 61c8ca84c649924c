# SPDX-License-Identifier: EUPL-1.2
"""The pages as one application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from poorter.running import Running
from poorter.standards.operations.app import Operations
from poorter.standards.proofs.app import Proofs


def make_pages(running: Running, acts: Operations, ledger: Proofs) -> Starlette:
    """Routes of all pages."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "up", "policy": running.gate.policy.version})

    return Starlette(routes=[Route("/health", health)])
