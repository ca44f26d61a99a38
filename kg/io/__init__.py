"""Files: written whole or not at all, Parquet tables, the graph folder, RDF, NetworkX and GraphML views."""
