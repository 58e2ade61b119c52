"""Which of a task's images to take: one interface, six strategies under the same budget.

    presel     the paper: seats to clusters in proportion to their available members, the most central members first
    coverage   the same seats; inside a cluster the pick that adds most to what the reference set and earlier picks cover
    typiclust  Hacohen et al. 2022: the most typical image of the least covered, then largest, cluster
    balanced   the same number for every cluster, at random inside
    kcentre    Sener & Savarese 2018: always the image farthest from everything taken
    random     the baseline every paper compares with

`rank` orders *all* available rows once; `select` is the first `budget` of that order. A smaller budget is therefore a
prefix of a larger for every strategy by construction, and the pipeline can hand a refused answer's seat to the next of
the same cluster without ranking again.
"""

from presel.selection.strategies.orders import STRATEGIES
from presel.selection.strategies.ranking import Ranking, rank, select

__all__ = ["STRATEGIES", "Ranking", "rank", "select"]
