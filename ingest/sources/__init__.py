"""How RDF, tables and Neo4j databases are read and mapped onto tables of nodes and edges."""
