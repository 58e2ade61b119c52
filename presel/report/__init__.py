"""What a person reads: the dataset card (`card`), the page (`page`), and pieces of it for the Prefect UI (`pieces`)."""

from presel.errors import require

require("report", "the report")
