"""Why an item is a candidate: shares of the score, paths of the graph, their words and drawings."""
