"""Clean facts of all sources into one graph: relations, ids, nodes, edges, schema, texts."""

from ingest.assemble.assembly import assemble

__all__ = ["assemble"]
