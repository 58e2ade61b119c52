"""The arithmetic of the method: arrays in, arrays out, no input and no output.

The functions that a notebook calls by themselves stand here; `presel.select` puts them together. (`select` and `rank` of
strategies stay in `presel.selection.strategies`: the choice inside one task.)
"""

from presel.selection.budget import allocate
from presel.selection.centrality import neighbor_centrality
from presel.selection.clustering import Clustering, kmeans
from presel.selection.coverage import coverage_curve
from presel.selection.reference_verdict import reference_verdict
from presel.selection.weights import adjusted_weights, bootstrap_intervals, mean_relevance, task_weights

__all__ = [
    "Clustering",
    "adjusted_weights",
    "allocate",
    "bootstrap_intervals",
    "coverage_curve",
    "kmeans",
    "mean_relevance",
    "neighbor_centrality",
    "reference_verdict",
    "task_weights",
]
