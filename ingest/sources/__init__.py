"""One folder or module a kind of source: RDF, tables, Neo4j."""
