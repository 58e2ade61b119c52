"""What an installation on a Prefect server needs: its worker, what it provisions, and (in the wheel) prefect.yaml."""
