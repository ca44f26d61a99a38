"""The Ladybug database of a run: built from its Parquet files, asked without a server."""
