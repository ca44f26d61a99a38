"""The sources that a configuration names: each has a fingerprint, and is read into a builder."""

from ingest.configured.base import FileSource, Source, SourceFile

__all__ = ["FileSource", "Source", "SourceFile"]
