"""`python -m presel` is `presel`."""

from presel.cli import main

main()
