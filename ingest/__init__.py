"""Sources into the graph: RDF, tables, validation and the report of what was found."""
