"""The Ladybug database of a run: built from its Parquet files, queried without a server."""
