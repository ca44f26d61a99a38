"""The HTTP service under load: wrk asks a real process, on the same machine.

python -m benchmarks service [--runs runs] [--seconds 15]

Needs wrk (Debian's package of that name). The generator of the load has its share of the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from benchmarks.results import record
from kg.io.files import MANIFEST, write_manifest
from recall import Recommender
from recall.runs.registry import RunsFolder

USERS = 500
K = 20
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local bodies, next = {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
request = function()
  next = next %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[next])
end
done = function(summary, latency, _)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local numbers = "\\nRESULT %%d %%d %%f %%f %%d\\n"
  io.write(numbers:format(summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors))
end
"""


def main(argv: Sequence[str]) -> None:
    """Measure throughput, latency, overhead, cold start and memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks service", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the demo's runs")
    parser.add_argument("--seconds", type=int, default=15, help="of each load")
    arguments = parser.parse_args(argv)
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    source = RunsFolder(arguments.runs).current()
    if source is None:
        raise SystemExit(f"no run serves in {arguments.runs}: make demo")
    rows: list[dict[str, Any]] = []
    facts: dict[str, Any] = {"seconds": arguments.seconds, "busy_before": round(os.getloadavg()[0], 2)}
    with TemporaryDirectory() as folder:
        work = Path(folder)
        runs = RunsFolder(work / "runs")
        publish(runs, source.path, 0)
        recommender = Recommender.load(runs.link).warm_up(text="")
        users = chosen_users(recommender)
        one = [{"queries": [{"user_id": user}], "k": K} for user in users]
        many = [
            {"queries": [{"user_id": user} for user in users[at : at + 100]], "k": K} for at in range(0, USERS, 100)
        ]
        rows.append(in_process(recommender, users))
        del recommender
        for workers in (1, 2):
            with service(runs, work, workers) as (address, process, started):
                times = cold_start(address, started)
                if workers == 1:
                    facts["cold_start"] = times
                rows += [
                    load(
                        address,
                        process,
                        work,
                        one,
                        arguments.seconds,
                        name="recommend, one user",
                        workers=workers,
                        clients=n,
                    )
                    for n in (1, 8)
                ]
                rows.append(
                    load(
                        address,
                        process,
                        work,
                        many,
                        arguments.seconds,
                        name="recommend, 100 users",
                        workers=workers,
                        clients=2,
                    )
                )
                facts.setdefault("memory", []).append({"workers": workers, **memory(process)})
                if workers == 2:
                    rows.append(during_publish(address, process, work, one, arguments.seconds, runs, source.path))
    facts["busy_after"] = round(os.getloadavg()[0], 2)
    record("service", rows, **facts)


def chosen_users(recommender: Recommender) -> list[str]:
    """Users of the graph, a seeded choice."""
    places = np.random.default_rng(0).integers(0, len(recommender.graph.users), USERS)
    return [recommender.graph.users.ids[int(place)].as_py() for place in places]


def publish(runs: RunsFolder, source: Path, number: int) -> None:
    """Publish a copy of a run."""
    fingerprint = f"{number:016x}"
    staged = runs.staging(fingerprint) / "run"
    shutil.copytree(source, staged)
    facts = json.loads((staged / MANIFEST).read_text())
    (staged / MANIFEST).unlink()
    write_manifest(staged, {"fingerprint": fingerprint, "created": facts["created"], "metrics": facts["metrics"]})
    runs.publish(staged, fingerprint=fingerprint)


def in_process(recommender: Recommender, users: Sequence[str]) -> dict[str, Any]:
    """The call in Python that the service makes for one user."""
    taken = []
    for user in users[:50]:
        recommender.recommend([user], k=K, titles=True)
    begun = time.process_time()
    for user in users:
        start = time.perf_counter()
        recommender.recommend([user], k=K, titles=True)
        taken.append(1000 * (time.perf_counter() - start))
    used = time.process_time() - begun
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    return {
        "request": "recommend, one user",
        "way": "call in Python",
        "clients": 1,
        "per_second": 1000 / float(np.mean(taken)),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "processor_ms": 1000 * used / len(users),
    }


@contextmanager
def service(runs: RunsFolder, work: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
    """A service that is ready: its address, its process, and when it was started."""
    log = work / f"service-{workers}.log"
    started = time.monotonic()
    command = [sys.executable, "-m", "recall", "serve", str(runs.path), "--port", "0", "--workers", str(workers)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream)
    try:
        while not (listening := re.search(r'"address": "([^"]+)"', log.read_text())):
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.02)
        yield listening[1], process, started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def wait_ready(address: str) -> None:
    """Wait until the service answers."""
    while True:
        try:
            if httpx.get(f"{address}/readyz", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)


def cold_start(address: str, started: float) -> dict[str, float]:
    """Seconds from the start of the process to its first answers."""
    while True:
        try:
            httpx.get(f"{address}/healthz", timeout=60).raise_for_status()
            break
        except httpx.TransportError:
            time.sleep(0.02)
    alive = time.monotonic() - started
    wait_ready(address)
    ready = time.monotonic() - started
    start = time.perf_counter()
    body = {"queries": [{"text": "a slow film about space"}], "k": K}
    httpx.post(f"{address}/recommend", json=body, timeout=60).raise_for_status()
    return {"alive_seconds": alive, "ready_seconds": ready, "first_text_ms": 1000 * (time.perf_counter() - start)}


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """What the processes of a service have used of the processor, those that have ended included."""
    ticks = 0
    for number in (str(process.pid), *children(process)):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # its own, and of its children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


def children(process: subprocess.Popen[bytes]) -> list[str]:
    """The numbers of the processes that a process has started."""
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def load(
    address: str,
    process: subprocess.Popen[bytes],
    work: Path,
    bodies: Sequence[Any],
    seconds: int,
    *,
    name: str,
    workers: int,
    clients: int,
) -> dict[str, Any]:
    """Ask without a pause on some connections."""
    (work / "bodies").write_text("".join(json.dumps(body) + "\n" for body in bodies))
    (work / "script.lua").write_text(SCRIPT % (work / "bodies"))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(work / "script.lua")]
    before = processor_seconds(process)
    done = subprocess.run([*command, f"{address}/recommend"], capture_output=True, text=True, check=True)
    numbers = done.stdout.partition("RESULT ")[2].split()
    requests, micros, p50, p99, failed = map(float, numbers)
    return {
        "request": name,
        "way": f"HTTP, {workers} worker{'s' if workers > 1 else ''}",
        "clients": clients,
        "per_second": 1e6 * requests / micros,
        "p50_ms": p50 / 1000,
        "p99_ms": p99 / 1000,
        "processor_ms": 1000 * (processor_seconds(process) - before) / max(requests, 1),
        "requests": int(requests),
        "failed": int(failed),
    }


def during_publish(
    address: str,
    process: subprocess.Popen[bytes],
    work: Path,
    bodies: Sequence[Any],
    seconds: int,
    runs: RunsFolder,
    source: Path,
) -> dict[str, Any]:
    """The same while another run is published in the middle."""

    def later() -> None:
        time.sleep(seconds / 5)
        publish(runs, source, 1)

    thread = threading.Thread(target=later)
    thread.start()
    # Long enough for the other run to be loaded, too.
    row = load(
        address, process, work, bodies, 3 * seconds, name="recommend, one user, during a publish", workers=2, clients=8
    )
    thread.join()
    return row | {"run_changed": httpx.get(f"{address}/readyz").json()["run"] == runs.runs()[-1].name}


def memory(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """MB of the process that loads and of its workers: what each has alone, and what they share."""
    loader, *workers = [_memory(number) for number in (str(process.pid), *children(process))]
    return {"loader": loader, "each_worker": workers}


def _memory(process: str) -> dict[str, float]:
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    sizes = {name: int(size) / 1024 for name, size in re.findall(r"(\w+):\s+(\d+) kB", text)}
    return {
        "resident_mb": sizes["Rss"],
        "proportional_mb": sizes["Pss"],
        "private_mb": sizes["Private_Clean"] + sizes["Private_Dirty"],
    }
