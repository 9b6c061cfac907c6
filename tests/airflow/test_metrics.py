"""Metrics by Airflow's real exporters at real ports, the page that lists them, the dashboard."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import airflow
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from packaging.version import Version

from airflow_pgmq import metrics
from airflow_pgmq.db.local import LocalPostgres

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "production" / "metrics.md").read_text()
ALL = {*metrics.GAUGES, *metrics.COUNTERS, *metrics.TIMINGS, *metrics.OF_NAMESPACES}

#: Of the work of `measured.py`, by name and queue.
COUNTED = {
    "sent.orders": 4,
    "sent.waited": 1,
    "sent.several": 2,
    # One of the tick, one of run-now.
    "sent.slots": 2,
    "duplicates.orders": 2,
    "acked.orders": 3,
    "dead_lettered.orders": 1,
}

Work = Callable[..., None]
Measure = Callable[..., "list[str]"]


@pytest.fixture
def work(airflow_metadata: LocalPostgres, pgmq_connection: str) -> Work:
    """Do the work of `measured.py` with these options of `[metrics]`."""

    def run(**options: Any) -> None:
        environment = {f"AIRFLOW__METRICS__{name.upper()}": str(value) for name, value in options.items()}
        done = subprocess.run(
            [sys.executable, "-m", "tests.airflow.measured"],
            cwd=ROOT,
            # No proxy has to do with this machine's address.
            env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "was not sent" not in done.stdout + done.stderr

    return run


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where a StatsD server would be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10)
        yield udp


@pytest.fixture
def measure(listener: socket.socket, work: Work) -> Measure:
    """What a StatsD server would be told of the work that is ours."""

    def run(**options: str) -> list[str]:
        work(statsd_host="127.0.0.1", statsd_port=listener.getsockname()[1], **options)
        return list(arrived(listener))

    return run


class Point(NamedTuple):
    """The last that a process told of one metric and queue."""

    kind: str
    unit: str
    tags: dict[str, str]
    value: float
    count: int = 0


class Collector(ThreadingHTTPServer):
    """Where an OpenTelemetry collector would be; what it was sent that is ours."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Export)
        self.points: dict[str, Point] = {}

    def take(self, metric: Metric) -> None:
        data = getattr(metric, kind := str(metric.WhichOneof("data")))
        if kind == "sum" and data.is_monotonic:
            kind = "counter"
        for point in data.data_points:
            tags = {tag.key: tag.value.string_value for tag in point.attributes}
            told = (point.sum, point.count) if "histogram" in kind else (_number(point),)
            key = ".".join([metric.name.removeprefix("airflow.pgmq."), *tags.values()])
            self.points[key] = Point(kind, metric.unit, tags, *told)


class _Export(BaseHTTPRequestHandler):
    """One request of OTLP over HTTP."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for metric in [each for scope in resource.scope_metrics for each in scope.metrics]:
                if metric.name.startswith("airflow.pgmq."):
                    self.server.take(metric)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """A test's output is no access log."""


def _number(point: Any) -> float:
    return float(getattr(point, point.WhichOneof("value")))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def arrived(listener: socket.socket) -> Iterator[str]:
    """Everything that was sent before this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"the end", listener.getsockname())
    while (packet := listener.recv(65536).decode()) != "the end":
        yield from (line for line in packet.splitlines() if line.startswith("airflow.pgmq."))


def totals(lines: list[str]) -> dict[str, float]:
    """Counters by name."""
    found: dict[str, float] = {}
    for line in lines:
        name, value, kind = re.fullmatch(r"airflow\.pgmq\.([^:]+):([-0-9.]+)\|(c|g|ms)", line).groups()  # type: ignore[union-attr]
        if kind == "c":
            found[name] = found.get(name, 0) + float(value)
    return found


def test_plain_statsd_has_the_queue_in_the_name(measure: Measure) -> None:
    lines = measure(statsd_on="True")
    assert totals(lines) == COUNTED
    gauges = {line.split("|")[0] for line in lines if line.endswith("|g")}
    assert {"airflow.pgmq.length.orders:0", "airflow.pgmq.dead_letters.orders:1"} <= gauges
    assert "airflow.pgmq.overdue.shop_eu:0" in gauges
    assert {"airflow.pgmq.delayed.slots:1", "airflow.pgmq.oldest_age.orders:0"} <= gauges
    timings = dict(line.split("|")[0].split(":") for line in lines if line.endswith("|ms"))
    assert float(timings["airflow.pgmq.slot_lateness.shop_eu"]) == 0
    assert 0 <= float(timings["airflow.pgmq.wake_up.waited"]) < 5000
    assert "airflow.pgmq.wake_up.several" not in timings
    assert {line.split(".")[2] for line in lines} == ALL


def test_an_exporter_with_tags_has_the_queue_as_one(measure: Measure) -> None:
    lines = measure(statsd_on="True", statsd_influxdb_enabled="True")
    assert {line.split(":")[0] for line in lines if ".sent" in line} == {
        f"airflow.pgmq.sent,queue={name}" for name in ("orders", "waited", "several", "slots")
    }
    assert any(line.startswith("airflow.pgmq.slot_lateness,namespace=shop_eu:") for line in lines)


def test_datadog_has_the_queue_as_a_tag(measure: Measure) -> None:
    lines = measure(statsd_datadog_enabled="True")
    assert {"airflow.pgmq.length:0|g|#queue:orders", "airflow.pgmq.delayed:1|g|#queue:slots"} <= {*lines}
    assert "airflow.pgmq.slot_lateness:0.0|ms|#namespace:shop_eu" in lines
    assert "airflow.pgmq.overdue:0|g|#namespace:shop_eu" in lines
    assert any(re.fullmatch(r"airflow\.pgmq\.wake_up:[0-9.]+\|ms\|#queue:waited", line) for line in lines)
    # With the tag moved into the name they are what plain StatsD has.
    assert totals([re.sub(r":(.+)\|#\w+:(\w+)$", r".\2:\1", line) for line in lines]) == COUNTED


def test_datadog_without_tags_has_the_queue_in_the_name(measure: Measure) -> None:
    lines = measure(statsd_datadog_enabled="True", statsd_datadog_metrics_tags="False")
    assert totals(lines) == COUNTED


@pytest.mark.skipif(
    Version(airflow.__version__) < Version("3.1.1"), reason="3.1.0 exports nothing at a task's end"
)
def test_opentelemetry_has_the_queue_as_an_attribute(collector: Collector, work: Work) -> None:
    # A task is over before the first interval is: what counts is the export at its end.
    work(
        otel_on=True,
        otel_host="127.0.0.1",
        otel_port=collector.server_port,
        otel_interval_milliseconds=3_600_000,
    )
    points = collector.points
    assert {key: point.value for key, point in points.items() if point.kind == "counter"} == COUNTED
    assert {"length.orders", "length.waited", "length.slots"} <= points.keys()
    assert points["length.orders"].value == 0
    assert points["dead_letters.orders"] == Point("gauge", "", {"queue": "orders"}, 1)
    assert points["delayed.slots"].value == 1
    for key, point in points.items():
        name, of = key.split(".")
        assert point.tags == {"namespace" if name in metrics.OF_NAMESPACES else "queue": of}
    late, woken = points["slot_lateness.shop_eu"], points["wake_up.waited"]
    assert (late.value, 0 <= woken.value < 5000) == (0, True)
    assert "wake_up.several" not in points
    modern = Version(airflow.__version__) >= Version("3.3.0.dev0")
    timing = ("exponential_histogram", "ms", 1) if modern else ("gauge", "", 0)
    assert {(point.kind, point.unit, point.count) for point in (late, woken)} == {timing}
    assert {key.split(".")[0] for key in points} == ALL


def test_without_an_exporter_nothing_is_sent(measure: Measure) -> None:
    assert measure() == []


def test_a_broken_exporter_breaks_no_task(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> object:
        raise OSError("no route")

    monkeypatch.setattr("airflow_pgmq.settings.metrics", lambda: "names")
    monkeypatch.setattr("airflow_pgmq.compat.stats", broken)
    metrics.sent("orders", 1)
    metrics.count_queues(None)  # type: ignore[arg-type]
    assert caplog.text.count("not sent") == 2


def test_the_page_lists_every_metric_and_no_other() -> None:
    assert set(re.findall(r"^\| `pgmq\.(\w+)` ", PAGE, re.M)) == ALL


def test_every_query_of_the_dashboard_is_of_a_metric() -> None:
    dashboard = json.loads((ROOT / "docs" / "production" / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = [re.findall(r"airflow_pgmq_(\w+?)(?:_sum|_count)?\{", query) for query in queries]
    assert all(named)
    assert {name for names in named for name in names} == ALL
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
