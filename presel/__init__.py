"""Choose the images worth instructing, pay only for those: PreSel as a library (arXiv 2503.07591)."""

__version__ = "0.1.0"
