"""One request over the wire: client, limits, what failures mean, and what must never be written down."""
