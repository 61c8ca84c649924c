# SPDX-License-Identifier: EUPL-1.2
"""Devices on a broker: what they send is taken, written, and only then acknowledged.

The broker's session is kept while the city is away, so that nothing is lost meanwhile. Who may
speak on which topic is the broker's to hold (`poorter broker` writes its rules); who speaks too
often, too much, or nonsense is refused here, counted, and nobody else's business.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from poorter.city.clock import Clock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Invalid, TooMany
from poorter.city.time import DAY_US, SECOND_US
from poorter.connections.commanding import Commanding, Order
from poorter.connections.counting import Counts, Refused
from poorter.connections.model import Connection, Mqtt, device_of, filter_of
from poorter.connections.payload import json_rows, senml_rows
from poorter.connections.writing import Parcel, Writing, count_rejects
from poorter.identity.rates import Rates
from poorter.load.rows import make_taker

log = logging.getLogger(__name__)
QUEUE_MAX = 20_000
TICK_S = 0.1
BATCH_MAX = 500
KEEPALIVE_S = 30
SESSION_S = 7 * 24 * 3600
_SILENT = frozenset((b"offline", b"silent", b"0", b"disconnected"))


@dataclass(frozen=True, slots=True)
class _Message:
    mid: int
    qos: int
    device: str
    payload: bytes
    silent: bool | None = None  # what the broker says of it, where it is no reading
    answer: bool = False  # to a command


class Devices:
    """One MQTT connection of the city. `start` and `stop` from any thread."""

    def __init__(
        self,
        connection: Connection,
        mqtt_: Mqtt,
        folder: Path,
        city_id: str,
        clock: Clock,
        counts: Counts,
        writing: Writing,
        registered: Callable[[str], bool],
        commanding: Commanding | None,
    ) -> None:
        self._connection = connection
        self._mqtt = mqtt_
        self._folder = folder
        self._clock = clock
        self._counts = counts
        self._writing = writing
        self._registered = registered
        self._commanding = commanding
        self._acks = tuple(dict.fromkeys(rule.ack_topic for rule in connection.commands))
        limits = connection.limits
        self._rates = Rates(limits.rate_per_second, limits.burst)
        self._take = make_taker(connection.map, clock.now_us, limits.late_days * DAY_US)
        self._queue: queue.Queue[_Message | None] = queue.Queue(QUEUE_MAX)
        self._client = self._make_client(f"poorter-{city_id}-{connection.name}")
        self._worker = threading.Thread(
            target=self._work, name=f"mqtt-{connection.name}", daemon=True
        )
        self.ended = False
        self.wrong = "not connected yet"

    def start(self) -> None:
        """Connect, and again whenever the link is lost. Raises Invalid for a wrong address."""
        parts = urlsplit(self._mqtt.broker)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise Invalid(f"{self._mqtt.broker[:200]!r} is no mqtt:// or mqtts:// address")
        if parts.scheme == "mqtts":
            self._client.tls_set()
        if self._mqtt.username:
            self._client.username_pw_set(self._mqtt.username, self._password())
        self._worker.start()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._client.connect_async(
            parts.hostname, port, KEEPALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def stop(self) -> None:
        """What came in already is written; what was not acknowledged stays with the broker."""
        self.ended = True
        self._client.disconnect()
        self._client.loop_stop()
        self._queue.put(None)
        self._worker.join(10)

    def _password(self) -> str:
        file = self._folder / self._mqtt.password_file
        try:
            return file.read_text("utf-8").strip()
        except OSError as wrong:
            raise Invalid(f"{file} can't be read: {wrong.strerror}") from None

    def _make_client(self, client_id: str) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    # -- the client's own thread: nothing here may take long ----------------------------------

    def _on_connect(self, client: mqtt.Client, _: Any, flags: Any, reason: Any, more: Any) -> None:
        if reason.is_failure:
            self.wrong = f"the broker refuses the city: {reason}"
            log.warning("%s: the broker refuses: %s", self._connection.name, reason)
            return
        known = (self._mqtt.topic, self._mqtt.status_topic, *self._acks)
        topics = [topic for topic in known if topic]
        client.subscribe([(filter_of(topic), SubscribeOptions(qos=1)) for topic in topics])

    def _on_subscribe(self, client: mqtt.Client, _: Any, mid: int, reasons: Any, more: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self.wrong = f"the broker refuses the subscription: {refused[0]}" if refused else ""

    def _on_disconnect(self, client: mqtt.Client, _: Any, flags: Any, reason: Any, __: Any) -> None:
        self.wrong = "" if self.ended else f"no link with the broker: {reason}"

    def _on_message(self, client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        self._counts.messages += 1
        payload = bytes(message.payload)
        status = self._mqtt.status_topic
        gone = device_of(status, message.topic) if status else None
        if gone is not None and self._known(gone):
            silent = payload.strip().lower() in _SILENT
            if self._counts.is_silent(gone, silent):
                self._queue.put(_Message(message.mid, message.qos, gone, b"", silent))
            else:
                client.ack(message.mid, message.qos)
            return
        answers = next((d for t in self._acks if (d := device_of(t, message.topic))), None)
        device = answers or device_of(self._mqtt.topic, message.topic)
        sort, reason = self._refusal(device, payload)
        if device is None or sort:
            what = message.topic[:80] if device is None else f"{len(payload)} bytes"
            self._counts.refuse(sort, Refused(self._clock.now_us(), device or "", what, reason))
            client.ack(message.mid, message.qos)
            return
        self._queue.put(
            _Message(message.mid, message.qos, device, payload, answer=answers is not None)
        )

    def _known(self, device: str) -> bool:
        return self._mqtt.devices == "any" or self._registered(device)

    def _refusal(self, device: str | None, payload: bytes) -> tuple[str, str]:
        """(sort, reason) why a message is not even read; empty when it is."""
        if device is None:
            return "topic", "the topic names no device"
        if not self._known(device):
            return "unknown device", "this device is not registered here"
        most = self._connection.limits.message_bytes
        if len(payload) > most:
            return "too large", f"a message has at most {most} bytes"
        try:
            self._rates.take(device, self._clock.now_us())
        except TooMany:
            limits = self._connection.limits
            return "too often", f"at most {limits.rate_per_second:g} messages a second"
        return "", ""

    # -- the worker's thread ------------------------------------------------------------------

    def _work(self) -> None:
        orders = self._commanding.unfinished() if self._commanding is not None else []
        last = False
        while not last:
            messages, last = self._waiting()
            parcels = [parcel for message in messages if (parcel := self._parcel(message))]
            if not parcels or self._writing.write(parcels):
                for message in messages:
                    self._client.ack(message.mid, message.qos)
            if self._commanding is not None and not last:
                self._command(self._commanding, orders or self._commanding.orders())
                orders = []

    def _command(self, commanding: Commanding, orders: Sequence[Order]) -> None:
        """Send orders, and have the entities say how theirs stand."""
        now_us = self._clock.now_us()
        said = commanding.expired()
        for order in orders:
            left_s = (order.until_us - now_us) // SECOND_US
            if left_s < 1:
                continue  # the next round tells that it is over
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = left_s
            topic = order.rule.topic.replace("{device}", order.device)
            self._client.publish(topic, order.message(), qos=1, properties=properties)
            said.append(order.status("sent", now_us))
        if said:
            self._writing.write([Parcel("", thing=entity) for entity in said])

    def _waiting(self) -> tuple[list[_Message], bool]:
        """What came in; nothing once in a while where commands are to be looked after."""
        messages: list[_Message] = []
        try:
            message = self._queue.get(timeout=None if self._commanding is None else TICK_S)
            while message is not None:
                messages.append(message)
                if len(messages) >= BATCH_MAX:
                    return messages, False
                message = self._queue.get_nowait()
        except queue.Empty:
            return messages, False
        return messages, True

    def _parcel(self, message: _Message) -> Parcel | None:
        """What a message brought; None when that is nothing."""
        now_us = self._clock.now_us()
        if message.silent is not None:
            return Parcel(message.device, thing=_device(message.device, message.silent, now_us))
        if message.answer:
            return self._answer(message, now_us)
        try:
            if self._mqtt.payload == "senml":
                rows = senml_rows(message.payload, now_us / 1e6)
            else:
                rows = json_rows(message.payload)
        except Invalid as wrong:
            what = message.payload[:80].decode("utf-8", "backslashreplace")
            self._counts.refuse("payload", Refused(now_us, message.device, what, wrong.detail))
            return None
        readings = []
        for number, row in enumerate(rows, 1):
            taken = self._take(number, row | {"device": message.device})
            count_rejects(self._counts, taken.rejects, message.device, now_us)
            self._counts.missing += taken.missing
            readings += taken.readings
        return Parcel(message.device, tuple(readings)) if readings else None

    def _answer(self, message: _Message, now_us: int) -> Parcel | None:
        assert self._commanding is not None  # only then answers are asked for
        try:
            said = self._commanding.answered(message.device, message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            said, reason = None, str(wrong)
        else:
            reason = "there is no such command under way for this device"
        if said is None:
            what = message.payload[:80].decode("utf-8", "backslashreplace")
            self._counts.refuse("answer", Refused(now_us, message.device, what, reason))
            return None
        return Parcel(message.device, thing=said)


def _device(device: str, silent: bool, now_us: int) -> Entity:
    """A device as an entity: whether it is there, and since when."""
    state = Attribute("deviceState", "silent" if silent else "online", observed_at_us=now_us)
    return Entity(f"urn:ngsi-ld:Device:{device}", ("Device",), (state,))
