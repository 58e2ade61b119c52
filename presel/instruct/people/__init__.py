"""People as annotators: what is handed out, what comes back, and how it becomes answers in the ledger."""
