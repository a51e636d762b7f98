"""Trainings killed after an epoch."""

from tools.training.resume import Unfinished


class KilledError(Exception):
    """Stands for a kill."""


def kill_after(monkeypatch, epochs):
    """Make every training fail once it has kept the state of so many epochs."""
    keep = Unfinished.keep

    def keep_and_die(self, epoch, identity):
        keep(self, epoch, identity)
        if epoch == epochs:
            raise KilledError

    monkeypatch.setattr(Unfinished, "keep", keep_and_die)
