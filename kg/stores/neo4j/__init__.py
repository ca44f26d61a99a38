"""A Neo4j server: the driver behind `client`, reading in `read`, writing in `write`."""
