"""The loaded models together with the settings that conversations are analysed with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamer.errors import UserError
from streamer.runtime.models import Runtime
from streamer.settings.tree import Settings

if TYPE_CHECKING:
    from streamer.transcription import Transcriber
    from streamer_models.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Engine:
    """What a process needs to analyse conversations. A context manager; leaving it ends the workers."""

    settings: Settings
    runtime: Runtime

    @classmethod
    def of(
        cls, settings: Settings, bundle: "Bundle", transcribers: "Sequence[Transcriber]"
    ) -> Self:
        """Start the workers of loaded models."""
        runtime = Runtime(
            bundle,
            transcribers,
            cores=settings.usable_cores,
            threshold=settings.emotion.threshold,
            language=settings.asr.spoken,
        )
        return cls(settings, runtime)

    @classmethod
    def load(cls, settings: Settings, notify: Callable[[str], None]) -> Self:
        """Load the models that the settings name.

        Args:
            settings: all settings.
            notify: takes a line for the user where a model had to be replaced by a lesser one.

        Raises:
            UserError: if a model cannot be loaded.
        """
        from streamer.transcription.registry import make_transcriber

        bundle = _load_bundle(settings)
        made = [
            make_transcriber(settings.asr, settings.usable_cores)
            for _ in range(settings.asr.parallel)
        ]
        if made[0][1]:
            notify(made[0][1])
        return cls.of(settings, bundle, [transcriber for transcriber, _ in made])

    @property
    def bundle(self) -> "Bundle":
        """The emotion model."""
        return self.runtime.bundle

    def __enter__(self) -> Self:
        self.runtime.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.runtime.__exit__(exc_type, exc, traceback)


def _load_bundle(settings: Settings) -> "Bundle":
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
