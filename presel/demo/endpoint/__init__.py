"""A stand-in for a paid vision API on this machine, for demos, tests and rehearsals: it speaks the OpenAI chat protocol.

    with serve(looks, faults="storm") as endpoint:
        endpoint.url       # http://127.0.0.1:<port>/v1
        endpoint.counts    # what it was asked, answered, billed, and which faults it played
        endpoint.requests  # one line per request

It is reached through the same SDK, over the same sockets, as the real thing, and misbehaves like it when told to. What it
answers is somebody else's business: a function from the picture it was sent.
"""

from presel.demo.endpoint.answers import Annotate, looks
from presel.demo.endpoint.faults import PROFILES
from presel.demo.endpoint.server import Counts, Endpoint, Exchange, serve

__all__ = ["PROFILES", "Annotate", "Counts", "Endpoint", "Exchange", "looks", "serve"]
