"""Process-wide state of a process that analyses conversations."""

import gc
import os
import threading

IMPORTED_BEFORE_FORK = (
    *("av", "soxr", "streamer_models.bundle", "streamer_models.streaming"),
    *("streamer_models.fast.whisper", "streamer.api"),
    *("streamer.conversation.pipeline", "streamer.sources.recording.source"),
    *("streamer.speech.detectors.gated", "streamer.transcription.registry"),
)
"""Modules that take long to import and start no threads: a fork would not inherit those."""


def one_thread_per_computation() -> None:
    """Let torch use one thread; to be called before models are loaded.

    Several computations side by side use the cores better than one that is split among them, and sums that are split
    are not always the same.
    """
    import torch

    torch.set_num_threads(1)


def one_thread_of_numpy() -> None:
    """Let numpy's OpenBLAS use one thread; to be called before numpy is imported.

    Its threads wait for each other by spinning: small products took twice the processor time of all else.
    Processes started from this one inherit it; who has set `OPENBLAS_NUM_THREADS` keeps that.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def exempt_from_collection() -> None:
    """Exclude what is loaded from garbage collection.

    It would go through all of the models again and again, and hold up every conversation for a tenth of a second.
    """
    gc.freeze()


def end_with_parent() -> None:
    """Let this process, made by `multiprocessing`, end when the one that made it is killed.

    It would finish its job for nobody, beside the one that does it again.
    """
    import multiprocessing.connection

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
