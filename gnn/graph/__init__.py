"""Models on the graph: LightGCN and GCN, their propagation, cold start, fold-in, shares and vectors."""
