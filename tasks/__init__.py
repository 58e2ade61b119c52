"""Stages as Prefect tasks: cpu.py, gpu.py, api.py and show.py are lists of names, policy.py says what they have in common."""

from presel.config import installed

installed.check()
