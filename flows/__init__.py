"""The flows: what runs, in which order. Each reads as the method; policy is in `tasks`, work in `presel.stages`."""

from presel.config import installed

installed.check()
