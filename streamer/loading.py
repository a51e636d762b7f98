"""Loading of the emotion model: in this process, and in those that the audio of many conversations is processed in."""

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from streamer.errors import UserError
from streamer.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.runtime.processes import Processes
    from streamer_models.bundle import Bundle
    from streamer_models.contract import AudioStream


def load_bundle(settings: Settings) -> "Bundle":
    """Load the emotion model to the device that the settings name.

    Raises:
        UserError: If it cannot be loaded, or there is no such device.
    """
    import torch

    from streamer_models.bundle import Bundle, BundleError, find_bundle

    try:
        bundle = Bundle.load(find_bundle(settings.emotion.bundle))
    except BundleError as error:
        raise UserError(f"emotion.bundle: {error}") from None
    if settings.emotion.device == "cuda":
        if not torch.cuda.is_available():
            raise UserError("emotion.device cuda: torch finds no GPU; set emotion.device to cpu")
        bundle.model.to("cuda")
    return bundle


def start_processes(settings: Settings, stack: contextlib.ExitStack) -> "Processes | None":
    """Start one for each core, if there are several; they load their models while this one does.

    Args:
        settings: All settings.
        stack: Ends them if its context is left.
    """
    if settings.usable_cores == 1:
        return None
    from streamer.runtime.processes import Processes

    started = Processes(partial(_load_audio, settings), settings.usable_cores)
    stack.callback(started.close)
    return started


def _load_audio(settings: Settings) -> "Callable[[], AudioStream] | None":
    return load_bundle(settings).audio_streams()
