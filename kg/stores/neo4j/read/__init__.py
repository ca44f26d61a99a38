"""A Neo4j database into Parquet pages: its catalog, pages, snapshots and their updates."""
