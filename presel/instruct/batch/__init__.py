"""Half the price for a day of patience: requests sent as files, and fetched when the provider is done."""

from presel.errors import require

require("instruct", "a batch")
