"""Archives: many recorded calls, each analysed once.

plan.py      what there is to do: files, folders, globs, lists, object stores
ledger.py    what is done, with which bundle and settings (SQLite in the target folder)
analysis.py  one call -> its event file and report, whole or not at all
pool.py      processes of this machine, each with models of its own
local.py     an engine: one process for each core
on_ray.py    an engine: actors of a Ray cluster
tables.py    Parquet tables of all utterances and summaries
run.py       the driver: plan, ledger, engine and tables together
"""
