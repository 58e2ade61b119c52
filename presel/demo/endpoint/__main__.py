"""`python -m presel.demo.endpoint --faults storm`: what `presel demo endpoint` does, without the rest of the CLI."""

from __future__ import annotations

import argparse
from functools import partial

from presel.demo.endpoint import PROFILES
from presel.demo.endpoint.rehearse import rehearse


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m presel.demo.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--faults", choices=sorted(PROFILES), default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--requests-per-minute", type=int)
    parser.add_argument("--batch-seconds", type=float, default=5.0, help="how long a batch takes")
    rehearse(partial(print, flush=True), **vars(parser.parse_args()))


main()
