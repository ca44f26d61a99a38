"""An index in PostgreSQL with pgvector, which many processes search and change as one (extra `pgvector`)."""
