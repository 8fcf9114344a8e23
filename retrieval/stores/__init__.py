"""Where vectors are kept and compared: a matrix in a file, or Chroma."""

from .matrix import MatrixStore
from .protocol import Store

__all__ = ["MatrixStore", "Store"]
