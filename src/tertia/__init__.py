"""tertia learns, extracts and uses protein embeddings."""
