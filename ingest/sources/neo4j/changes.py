"""What changed in the database while it was read, and what else was not taken, for the report."""

from __future__ import annotations

from ingest.sources.neo4j.tables import SnapshotReading


def report_changes(reading: SnapshotReading) -> None:
    """Count nodes and relationships that moved while they were read, and those with a tombstone."""
    report = reading.context.report
    moved = reading.snapshot.moved
    for kind, counts, explanation in (
        ("nodes deleted while reading", moved.gone, "left out with their relationships"),
        ("nodes replaced while reading", moved.reused, "left out with their relationships"),
        ("nodes added while reading", moved.new, "too late to be read: the next refresh has them"),
        ("relationships that moved while reading", moved.relationships, "left out: an end of theirs was not read"),
    ):
        for name, count in counts.items():
            report.add(kind, count, explanation, [f"{name}: {count}"], severity="warning")
    for name, count in moved.outside.items():
        report.add(
            "relationships to nodes that are not read",
            count,
            "left out: an end of theirs has none of the labels in sources.neo4j.labels",
            [f"{name}: {count}"],
        )
    for kind, pairs in (("labels", moved.labels), ("relationship types", moved.types)):
        for name, (start, end) in pairs.items():
            report.add(
                f"{kind} whose count moved while reading",
                start != end,
                "the database was written to; the graph is closed in itself, and the next refresh has the rest",
                [f"{name}: {start} at the start, {end} at the end"],
            )
    for name, count in reading.snapshot.byte_arrays.items():
        report.add("byte arrays", count, "no attribute of the graph: left out", [f"{name}: {count}"])
    for kind, count in reading.snapshot.read.get("tombstones", {}).items():
        report.add(
            f"{kind} with a tombstone",
            count,
            f"they count as deleted: sources.neo4j.tombstone = {reading.source.tombstone!r}",
        )
