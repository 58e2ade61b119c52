"""Does the selection earn its money? The whole method on pools whose answers are known, judged by what a tuned model can do.

    python -m benchmarks.replication [--pool FOLDER] [--work FOLDER] [--arms ...] [--budgets ...] [--seeds ...] [--minutes N]

    pools.py      a folder with `images/` and `truth.jsonl`; `drawn.py` draws such folders
    base.py       one small LVLM a pool, trained on captions of the base split alone
    annotator.py  the endpoint's answers: the truth, one instruction an image
    arms.py       what is compared, as configurations
    trial.py      one arm through the product: stages, published dataset, fine-tuning
    scoring.py    exact match of greedily generated answers on held-out questions
    results.py    a line of JSON an arm, appended at once; differences with their intervals; the table
    plots.py      the figures of docs/evidence.md

Each arm of one seed shares what is the same (vectors, clusters, reference set, its instructions and scores) by the store's own
caching. What is shared by all arms of a pool is the base, and the vision tower's features, computed once.
"""
