"""Work on several threads: blocks whose results do not depend on the threads, and reading ahead in order."""
