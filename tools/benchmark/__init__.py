"""Costs, measured: each module is a command of `python -m tools.benchmark`."""
