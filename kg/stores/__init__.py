"""Graph stores: databases that hold a graph and answer Cypher.

Nothing is imported here, so that whoever needs one store does not load the other's library.
"""
