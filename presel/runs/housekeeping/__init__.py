"""Keeping a store in order: what can go (`gc`), and whether what must stay is what was written (`verify`)."""
