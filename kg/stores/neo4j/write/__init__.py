"""Into Neo4j: batches written once each, a whole graph, and the vectors and candidates of a run."""
