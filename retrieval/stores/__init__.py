"""Where vectors are kept and compared: a matrix in a file, or Chroma."""

from .chroma import ChromaStore, open_chroma
from .matrix import MatrixStore
from .protocol import Store

__all__ = ["ChromaStore", "MatrixStore", "Store", "open_chroma"]
