"""What to read from a Neo4j database, and its pages mapped onto the tables of the graph."""
