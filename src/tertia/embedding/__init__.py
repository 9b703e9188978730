"""Embeddings outside of torch: one chain as numpy arrays, and the files that hold many."""

from tertia.embedding.chain_embedding import Embedding
from tertia.embedding.files import SUFFIXES, read, write

__all__ = ["SUFFIXES", "Embedding", "read", "write"]
