"""Work on several threads: blocks whose results do not depend on the threads, reading ahead in order, and how far it is."""
