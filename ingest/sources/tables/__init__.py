"""Tables of files and data frames as clean columns."""

from ingest.sources.tables.cleaner import Cleaner
from ingest.sources.tables.files import read_file, read_lists
from ingest.sources.tables.frames import frame_table, from_frame
from ingest.sources.tables.reading import read_table
from ingest.sources.tables.rows import Rows, pick
from ingest.sources.tables.values import infer_type, to_floats, to_ids, to_seconds

__all__ = [
    "Cleaner",
    "Rows",
    "frame_table",
    "from_frame",
    "infer_type",
    "pick",
    "read_file",
    "read_lists",
    "read_table",
    "to_floats",
    "to_ids",
    "to_seconds",
]
