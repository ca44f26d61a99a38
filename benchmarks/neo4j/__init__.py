"""Reading, writing, asking and being beside a real Neo4j server: see `benchmarks.neo4j.run`."""

from benchmarks.neo4j.run import main

__all__ = ["main"]
