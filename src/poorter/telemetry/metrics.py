# SPDX-License-Identifier: EUPL-1.2
"""GET /metrics in Prometheus' text format, for whoever has a grant on `record:metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from poorter.city.errors import CityError, Denied, NotFound
from poorter.offices.grants import METRICS
from poorter.running import Running
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.http.asking import Asking
from poorter.standards.http.problem import problem_answer
from poorter.telemetry.tally import BOUNDS_S, Tally

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PATH = "/metrics"


class Metrics:
    """The page of figures. Its library is loaded when it is first asked for."""

    def __init__(self, running: Running, asking: Asking, tallies: Mapping[str, Tally]) -> None:
        self._running = running
        self._asking = asking
        self._tallies = tallies

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        """Answer one request."""
        try:
            answer = self._answer(Request(scope, receive))
        except CityError as error:
            answer = problem_answer(error)
        return await send(answer, transmit)

    def _answer(self, request: Request) -> Answer:
        caller = self._asking.caller(request)
        permit = self._running.gate.permit(caller.processor, caller.purpose, "read")
        if permit.rule(METRICS) is None:
            raise Denied
        if request.method not in ("GET", "HEAD"):
            raise NotFound("metrics are only read")
        self._running.uses.count(permit)
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.process_collector import ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(self)
        return Answer(
            200, generate_latest(registry), ((b"content-type", CONTENT_TYPE_LATEST.encode()),)
        )

    def collect(self) -> Iterator[Metric]:
        """What the library asks for at each scrape."""
        yield from _requests(self._tallies)
        yield from _city(self._running)
        yield from _flows(self._running)


def _requests(tallies: Mapping[str, Tally]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    answers = CounterMetricFamily("poorter_answers", "Answers over HTTP", labels=("face", "status"))
    took = HistogramMetricFamily(
        "poorter_answer_seconds", "From request to answer", labels=("face",)
    )
    for face, tally in tallies.items():
        for status, number in sorted(tally.statuses.items()):
            answers.add_metric((face, str(status)), number)
        running, buckets = 0, []
        for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), tally.buckets, strict=True):
            running += number
            buckets.append((bound, float(running)))
        took.add_metric((face,), buckets, tally.total_s)
    yield answers
    yield took


def _city(running: Running) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield CounterMetricFamily(
        "poorter_events", "Committed events", value=float(running.store.sequence())
    )
    yield GaugeMetricFamily(
        "poorter_policy_version", "Policy in force", value=float(running.gate.policy.version)
    )
    yield GaugeMetricFamily(
        "poorter_ledger_leaves",
        "Leaves in the tree",
        value=float(running.sequencer.checkpoint.size),
    )
    yield GaugeMetricFamily(
        "poorter_ledger_written",
        "1 while the ledger can be written",
        value=float(running.sequencer.failing is None),
    )
    failing = GaugeMetricFamily(
        "poorter_job_failures", "Failures in a row of background work", labels=("job",)
    )
    for name, failures in sorted(running.job_failures.items()):
        failing.add_metric((name,), float(failures))
    yield failing


def _flows(running: Running) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    readings = CounterMetricFamily(
        "poorter_readings",
        "Readings of connections, and what became of them",
        labels=("connection", "outcome"),
    )
    state = GaugeMetricFamily(
        "poorter_connection_fresh", "1 while a connection is fresh", labels=("connection",)
    )
    for standing in running.connections.standings() if running.connections else ():
        name, counts = standing.connection.name, standing.counts
        for outcome in ("new", "known", "corrections", "missing"):
            readings.add_metric((name, outcome), getattr(counts, outcome))
        readings.add_metric((name, "refused"), sum(n for _, n in counts.refusals()))
        state.add_metric((name,), float(standing.state == "fresh"))
    yield readings
    yield state
    if running.engine is not None:
        notified = CounterMetricFamily(
            "poorter_notifications", "Notifications of subscriptions", labels=("outcome",)
        )
        sent, failed = running.engine.notified()
        notified.add_metric(("sent",), sent)
        notified.add_metric(("failed",), failed)
        yield notified
        changes = CounterMetricFamily(
            "poorter_subscribed_changes",
            "Changes that came too fast to be told one by one",
            labels=("outcome",),
        )
        changes.add_metric(("folded",), running.engine.waiting.folded)
        changes.add_metric(("lost",), running.engine.waiting.lost)
        yield changes
        yield GaugeMetricFamily(
            "poorter_subscribed_changes_waiting",
            "Changes that wait to be told",
            value=float(len(running.engine.waiting)),
        )
