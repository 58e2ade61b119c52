"""One request over the wire: client, limits, what failures mean, and what must never be written down."""

from presel.errors import require

require("instruct", "asking an endpoint")
