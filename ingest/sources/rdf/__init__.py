"""RDF files and rdflib graphs: read into integer arrays, then mapped onto typed node and edge tables."""
