"""RDF to graph: triples a second and peak memory beside rdflib, on the same generated file in the same run.

    python -m benchmarks.rdf [--triples 1000000]

Each reader runs in a process of its own; its peak memory is all the process ever held (VmHWM), interpreter and
imports included; importing is not timed. Ours goes on to a finished `KnowledgeGraph`, rdflib's stops at its parsed
`Graph`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import record

G_YEAR = "http://www.w3.org/2001/XMLSchema#gYear"
READERS = {
    "graphrecall": (
        "from ingest import GraphBuilder, GraphSettings",
        """
graph, _ = GraphBuilder(GraphSettings(user="user", item="movie")).add_rdf(path).build()
""",
    ),
    "rdflib": (
        "import rdflib",
        """
graph = rdflib.Graph().parse(path, format="nt")
""",
    ),
}
HARNESS = """
import json, sys, time
{imports}
path = sys.argv[1]
started = time.perf_counter()
{body}
seconds = time.perf_counter() - started
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({{"seconds": seconds, "peak_mb": int(peak.split()[1]) / 1024}}))
"""


def generate(path: Path, triples: int) -> int:
    """Write N-Triples shaped like a film knowledge base, and return how many.

    A movie has 10: its class, a title, a year, an identifier and six edges to people; a person has a class and a name.
    """
    movies = triples * 8 // 100
    people = (triples - 10 * movies) // 2
    written = 0
    with path.open("w", encoding="utf-8") as out:
        for n in range(movies):
            s = f"<https://example.org/movie/{n}>"
            lines = [
                f"{s} <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://schema.org/Movie> .",
                f'{s} <https://schema.org/name> "The film number {n}"@en .',
                f'{s} <https://schema.org/datePublished> "{1920 + n % 100}"^^<{G_YEAR}> .',
                f'{s} <https://schema.org/identifier> "tt{n:07d}" .',
                *(
                    f"{s} <http://dbpedia.org/ontology/{predicate}> "
                    f"<https://example.org/person/{(n * 7919 + at * 104729) % people}> ."
                    for at, predicate in enumerate(
                        ["director", "writer", "starring", "starring", "starring", "editing"]
                    )
                ),
            ]
            out.write("\n".join(lines) + "\n")
            written += len(lines)
        for n in range(people):
            s = f"<https://example.org/person/{n}>"
            out.write(
                f"{s} <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://schema.org/Person> .\n"
                f'{s} <https://schema.org/name> "Person number {n}" .\n'
            )
            written += 2
    return written


def run(triples: int = 1_000_000, *, repeats: int = 2) -> list[dict[str, Any]]:
    """Measure both readers.

    Args:
        triples: size of the generated file.
        repeats: runs of each; the fastest counts.

    Returns:
        A row a reader: `system`, `triples_per_second`, `seconds`, `peak_mb`.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.nt"
        count = generate(path, triples)
        for system, (imports, body) in READERS.items():
            results = []
            for _ in range(repeats):
                done = subprocess.run(
                    [sys.executable, "-c", HARNESS.format(imports=imports, body=body), str(path)],
                    check=True,
                    capture_output=True,
                    text=True,
                    cwd=Path(__file__).resolve().parents[1],
                )
                results.append(json.loads(done.stdout.splitlines()[-1]))
            best = min(results, key=lambda result: result["seconds"])
            rows.append(
                {
                    "system": system,
                    "triples_per_second": round(count / best["seconds"]),
                    "seconds": round(best["seconds"], 2),
                    "peak_mb": round(max(result["peak_mb"] for result in results)),
                }
            )
    return rows


def main(argv: Sequence[str]) -> None:
    """Run the benchmark and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks rdf", description=__doc__)
    parser.add_argument("--triples", type=int, default=1_000_000)
    triples = parser.parse_args(argv).triples
    rows = run(triples)
    record("rdf", rows, triples=triples)
    ours, theirs = rows
    speed = ours["triples_per_second"] / theirs["triples_per_second"]
    print(f"{speed:.1f} times as fast, {ours['peak_mb'] / theirs['peak_mb']:.2f} of the memory")


if __name__ == "__main__":
    main(sys.argv[1:])
