from presel.cli import main

main()
