"""How busy the workers are: in steps that hold, so that what is given up does not come and go."""

ROOM, BUSY, FULL = range(3)
"""Steps: everything is done; less (see `speech.Effort`), and conversations are taken one by one; the least, and no
conversations are taken."""

_PERIOD = 2.0
"""Seconds over which the share of time that workers are busy is taken."""
_HIGH = 0.9
"""Share from which the next step is taken: beyond, what arrives waits for longer and longer."""
_LOW = (0.0, 0.65, 0.75)
"""Share under which each step is left: what it spares would fit in again (the first a quarter, the other a seventh)."""


class Pressure:
    """Tells the present step from the time that workers were busy.

    Args:
        workers: how many there are.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._step = ROOM
        self._since = self._seconds = 0.0

    def step(self, now: float, seconds: float) -> int:
        """Return the step.

        Args:
            now: seconds of a monotonic clock.
            seconds: that all workers together have been busy so far.
        """
        elapsed = now - self._since
        if elapsed >= _PERIOD:
            busy = (seconds - self._seconds) / elapsed / self._workers
            if busy > _HIGH:
                self._step = min(FULL, self._step + 1)
            elif busy < _LOW[self._step]:
                self._step = max(ROOM, self._step - int(elapsed / _PERIOD))
            self._since, self._seconds = now, seconds
        return self._step
