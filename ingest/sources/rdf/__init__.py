"""RDF files into integer arrays, and these into typed node and edge tables."""
