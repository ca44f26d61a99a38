"""The graph as integers: CSR adjacency over all relations, and the paths on it."""
