"""What the deployments expect on a Prefect server: the work pool, the results block, the limit of one GPU task at a time.

    python -m deployments.provision s3://my-bucket/presel

Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from tasks.results import StoreResults

POOL = "presel-local"
BLOCK = "presel"


def provision(store: str, gpus: int = 1) -> None:
    """Create or update everything; `gpus` is how many tasks tagged `gpu` may run at once."""
    StoreResults(store=store).save(BLOCK, overwrite=True)
    with get_client(sync_client=True) as client:
        _pool(client)
        client.create_concurrency_limit(tag="gpu", concurrency_limit=gpus)


def _pool(client: SyncPrefectClient) -> None:
    with contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="s3://bucket/prefix or a folder that every worker can reach")
    parser.add_argument("--gpus", type=int, default=1)
    arguments = parser.parse_args()
    provision(arguments.store, arguments.gpus)
    print(f"pool {POOL}, block presel-store-results/{BLOCK} -> {arguments.store}, {arguments.gpus} gpu task(s) at once")


if __name__ == "__main__":
    main()
