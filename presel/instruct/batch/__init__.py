"""Half the price for a day of patience: requests sent as files, and fetched when the provider is done."""
