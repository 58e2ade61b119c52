"""A published dataset: its records (`records`), what it changes (`changes`), and its versions on a store (`versions`)."""
