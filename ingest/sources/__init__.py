"""What facts are read from: RDF, tables, Neo4j; a `Source` has a fingerprint and is read into a builder."""

from ingest.sources.base import FileSource, Source, SourceFile

__all__ = ["FileSource", "Source", "SourceFile"]
