"""`python -m presel.demo.endpoint --faults storm`: rehearse a run against a provider on a bad day, without paying."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

from presel.demo.endpoint import PROFILES, looks, serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m presel.demo.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--faults", choices=sorted(PROFILES), default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--requests-per-minute", type=int)
    asked = parser.parse_args()
    with serve(
        looks,
        faults=asked.faults,
        seed=asked.seed,
        latency=asked.latency,
        requests_per_minute=asked.requests_per_minute,
        port=asked.port,
    ) as endpoint:
        print(f"{endpoint.url}  (faults: {asked.faults}; Ctrl-C ends it)", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print(json.dumps(asdict(endpoint.counts)))


main()
