"""Metrics by Airflow's real StatsD client at a real UDP port, the page that lists them, the dashboard."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_pgmq import metrics
from airflow_pgmq.local import LocalPostgres

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
ALL = {*metrics.GAUGES, *metrics.COUNTERS, *metrics.TIMINGS}

Measure = Callable[..., "list[str]"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where a StatsD server would be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10)
        yield udp


@pytest.fixture
def measure(listener: socket.socket, airflow_metadata: LocalPostgres, pgmq_connection: str) -> Measure:
    """Do the work of `measured.py` with these options of `[metrics]`; what arrived that is ours."""

    def run(**options: str) -> list[str]:
        port = listener.getsockname()[1]
        options = {"statsd_host": "127.0.0.1", "statsd_port": str(port), **options}
        environment = {f"AIRFLOW__METRICS__{name.upper()}": value for name, value in options.items()}
        done = subprocess.run(
            [sys.executable, "-m", "tests.airflow.measured"],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "was not sent" not in done.stdout + done.stderr
        return list(arrived(listener))

    return run


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
    assert totals(lines) == {
        "sent.orders": 4,
        "sent.waited": 1,
        "sent.several": 2,
        # One of the tick, one of run-now.
        "sent.slots": 2,
        "duplicates.orders": 2,
        "acked.orders": 3,
        "dead_lettered.orders": 1,
    }
    gauges = {line.split("|")[0] for line in lines if line.endswith("|g")}
    assert {"airflow.pgmq.length.orders:0", "airflow.pgmq.dead_letters.orders:1"} <= gauges
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
    metrics.look(None)  # type: ignore[arg-type]
    assert caplog.text.count("not sent") == 2


def test_the_page_lists_every_metric_and_no_other() -> None:
    assert set(re.findall(r"^\| `pgmq\.(\w+)` ", PAGE, re.M)) == ALL


def test_every_query_of_the_dashboard_is_of_a_metric() -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = [re.findall(r"airflow_pgmq_(\w+?)(?:_sum|_count)?\{", query) for query in queries]
    assert all(named)
    assert {name for names in named for name in names} == ALL
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
