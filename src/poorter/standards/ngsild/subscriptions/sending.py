# SPDX-License-Identifier: EUPL-1.2
"""One notification out of the city: HTTP (CIM 009, 6.3.9) or MQTT (7.2), to allowed hosts only."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from poorter.city.errors import Unavailable
from poorter.standards.http.outgoing import Outgoing
from poorter.standards.ngsild.subscriptions.model import Endpoint

ANSWER_BYTES_MAX = 64 * 1024


class Sender:
    """Sends to endpoints. Raises Invalid for a host that is not allowed, Unavailable else."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    def check(self, endpoint: Endpoint) -> None:
        """Raises Invalid unless the endpoint's host is allowed."""
        self._outgoing.check_host(urlsplit(endpoint.uri).hostname or "")

    async def send(self, endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> None:
        """One notification, whole within the endpoint's time."""
        self.check(endpoint)
        if endpoint.uri.startswith("mqtt"):
            await self._publish(endpoint, body, headers)
            return
        reply = await self._outgoing.send(
            "POST",
            endpoint.uri,
            {"Content-Type": endpoint.accept, **dict(endpoint.info), **headers},
            body,
            timeout_s=endpoint.timeout_s,
            bytes_max=ANSWER_BYTES_MAX,
        )
        if not 200 <= reply.status < 300:
            raise Unavailable(f"the endpoint answers {reply.status}")

    async def _publish(self, endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> None:
        metadata = {"Content-Type": endpoint.accept, **dict(endpoint.info), **headers}
        payload = msgspec.json.encode({"metadata": metadata, "body": msgspec.Raw(body)})
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                await asyncio.to_thread(_publish, endpoint, payload)
        except TimeoutError:
            raise Unavailable(f"the MQTT broker took over {endpoint.timeout_s:g} s") from None


def _publish(endpoint: Endpoint, payload: bytes) -> None:
    """mqtt[s]://[user[:password]@]host[:port]/topic[/...], QoS and version from notifierInfo."""
    import paho.mqtt.client as mqtt  # only a city that notifies by MQTT loads it
    from paho.mqtt import MQTTException, publish

    parts = urlsplit(endpoint.uri)
    newer = endpoint.notifier.get("MQTT-Version", "mqtt5.0") == "mqtt5.0"
    login: Any = None
    if parts.username is not None:
        login = {"username": unquote(parts.username)}
        if parts.password is not None:
            login["password"] = unquote(parts.password)
    secure = parts.scheme == "mqtts"
    tls: Any = {"ca_certs": None} if secure else None  # the machine's own authorities
    try:
        publish.single(
            unquote(parts.path[1:]),
            payload,
            qos=int(endpoint.notifier.get("MQTT-QoS", "0")),
            hostname=parts.hostname or "",
            port=parts.port or (8883 if secure else 1883),
            auth=login,
            tls=tls,
            keepalive=int(endpoint.timeout_s) or 1,
            protocol=mqtt.MQTTv5 if newer else mqtt.MQTTv311,
        )
    except (OSError, ValueError, MQTTException) as wrong:
        raise Unavailable(f"MQTT: {type(wrong).__name__} {wrong}"[:300]) from None
