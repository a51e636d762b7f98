"""Numbers for operators, in Prometheus' format; no names and no texts are labels."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from streamer import events
from streamer.control import LiveStatus, TranscriptCounts
from streamer.errors import UserError
from streamer.registry import Option, Plugin, SinkContext
from streamer.runtime.batching import BatchStatistics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_LATENCIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_WORK = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The metrics of one process, summed over its conversations."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
        from prometheus_client import Counter as Total

        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)
        self.utterances = Total(
            "streamer_utterances", "Utterances by emotion", ["emotion"], registry=registry
        )
        self.latency = Histogram(
            "streamer_label_latency_seconds",
            "From the end of speech to the utterance event",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.stage = Histogram(
            "streamer_stage_seconds",
            "Time of a stage after the endpoint",
            ["stage"],
            buckets=_WORK,
            registry=registry,
        )
        self.sessions = Gauge("streamer_sessions", "Conversations running", registry=registry)
        self.lag = Gauge(
            "streamer_audio_lag_seconds",
            "Captured audio not analysed yet, of the conversation furthest behind",
            registry=registry,
        )
        self.lost = Total("streamer_audio_lost_seconds", "Audio lost", registry=registry)
        self.errors = Total("streamer_errors", "Error events by part", ["part"], registry=registry)
        self.alerts = Total("streamer_alerts", "Alerts", registry=registry)
        outbox = Gauge(
            "streamer_outbox_events", "Events that wait for the MQTT broker", registry=registry
        )
        self._running: dict[int, LiveStatus] = {}
        self._transcripts = _Transcripts(self._running)
        registry.register(self._transcripts)
        outbox.set_function(lambda: max((s.outbox() for s in self._running.values()), default=0))
        self.lag.set_function(lambda: max((s.lag for s in self._running.values()), default=0.0))

    def show_pools(self, statistics: Callable[[], Mapping[str, BatchStatistics]]) -> None:
        """Show how busy pools of workers are, by their names: `statistics` is called at each scrape."""
        self._registry.register(_Pools(statistics))

    def begin(self, status: LiveStatus) -> None:
        """Count a conversation whose status is shown."""
        self._running[id(status)] = status
        self.sessions.set(len(self._running))

    def end(self, status: LiveStatus) -> None:
        """Count a conversation out."""
        self._running.pop(id(status), None)
        self._transcripts.keep(status)
        self.sessions.set(len(self._running))

    def take(self, event: events.Event) -> None:
        """Count an event."""
        match event:
            case events.Utterance():
                self.utterances.labels(_emotion(event)).inc()
                self.latency.observe(event.latency_ms.total / 1000)
                self.stage.labels("transcription").observe(event.latency_ms.transcription / 1000)
                self.stage.labels("analysis").observe(event.latency_ms.analysis / 1000)
            case events.Gap():
                self.lost.inc(max(0.0, event.end - event.start))
            case events.Error():
                self.errors.labels(event.part.split(" ")[0]).inc()
            case events.Alert() if event.active:
                self.alerts.inc()
            case _:
                pass

    def text(self) -> tuple[bytes, str]:
        """Give the metrics as Prometheus scrapes them, and their content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def listen(self, host: str, port: int) -> None:
        """Serve the metrics over HTTP from a thread.

        Raises:
            UserError: if the port cannot be used.
        """
        from prometheus_client import start_http_server

        try:
            start_http_server(port, host, self._registry)
        except OSError as error:
            reason = (error.strerror or "not possible").lower()
            raise UserError(f"--metrics {port}: {reason}") from None


class _Pools:
    """Reads the statistics of pools of workers when it is scraped."""

    def __init__(self, statistics: Callable[[], Mapping[str, BatchStatistics]]) -> None:
        self._statistics = statistics

    def collect(self) -> "Iterator[Metric]":
        """See `prometheus_client.registry.Collector`."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        waiting = GaugeMetricFamily("streamer_pool_waiting", "Work that waits", labels=["pool"])
        busy = GaugeMetricFamily("streamer_pool_busy", "Busy workers", labels=["pool"])
        items = CounterMetricFamily("streamer_pool_items", "Work begun", labels=["pool"])
        seconds = CounterMetricFamily(
            "streamer_pool_seconds", "Time that workers were busy", labels=["pool"]
        )
        for name, each in self._statistics().items():
            waiting.add_metric([name], each.waiting)
            busy.add_metric([name], each.busy)
            items.add_metric([name], each.items)
            seconds.add_metric([name], each.seconds)
        yield from (waiting, busy, items, seconds)


class _Transcripts:
    """Counts of transcriptions by outcome, over the conversations that run and those that have ended."""

    def __init__(self, running: Mapping[int, LiveStatus]) -> None:
        self._running = running
        self._ended: Counter[str] = Counter()

    def keep(self, status: LiveStatus) -> None:
        """Add the counts of a conversation that ended."""
        self._ended.update(asdict(status.transcripts))

    def collect(self) -> "Iterator[Metric]":
        """See `prometheus_client.registry.Collector`."""
        from prometheus_client.core import CounterMetricFamily

        total = self._ended.copy()
        for status in list(self._running.values()):
            total.update(asdict(status.transcripts))
        family = CounterMetricFamily(
            "streamer_transcriptions", "Transcriptions by outcome", labels=["outcome"]
        )
        for outcome in asdict(TranscriptCounts()):
            family.add_metric([outcome], total[outcome])
        yield family


def _emotion(event: events.Utterance) -> str:
    if event.emotion is None:
        return "unknown"
    return "abstained" if event.abstained else event.emotion


class MetricsSink:
    """Counts the events of one conversation.

    Args:
        metrics: of the process.
        status: of the conversation, if it is live.
    """

    def __init__(self, metrics: Metrics, status: LiveStatus | None = None) -> None:
        self._metrics = metrics
        self._status = status or LiveStatus()

    async def __aenter__(self) -> Self:
        self._metrics.begin(self._status)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._metrics.end(self._status)

    async def emit(self, event: events.Event) -> None:
        """Deliver one event."""
        self._metrics.take(event)


_listening: dict[int, Metrics] = {}
"""The metrics of this process, by the port that serves them."""


def _make(*, context: SinkContext, metrics: int | None) -> MetricsSink | None:
    if metrics is None:
        return None
    if metrics not in _listening:
        _listening[metrics] = Metrics()
        _listening[metrics].listen("127.0.0.1", metrics)
    return MetricsSink(_listening[metrics], context.status)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65_535:
        raise ValueError(text)
    return port


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--metrics",
            metavar="PORT",
            type=_port,
            help="serve metrics for Prometheus on 127.0.0.1:PORT",
        ),
    ),
)
