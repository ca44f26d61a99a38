"""A Neo4j database: what to read of it, and how its nodes and relationships become tables."""
