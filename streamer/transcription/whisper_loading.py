"""From the settings to a Whisper model in memory, on the device and in the arithmetic that work."""

import json
import logging
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE, Samples
from streamer.errors import UserError
from streamer.settings.shipped import sample_call
from streamer.settings.tree import Asr
from streamer.transcription.whisper_models import ModelFiles, obtain
from streamer.transcription.whisper_network import WhisperNetwork
from streamer.transcription.whisper_tokens import Tokens

log = logging.getLogger(__name__)


def load(asr: Asr, cores: int) -> tuple[str, WhisperNetwork, Tokens]:
    """Load the model that the settings name: what it is called, its networks, its vocabulary.

    Raises:
        UserError: if it cannot be had or loaded, or does not know the language.
    """
    if asr.model.endswith(".en"):
        _require_english(asr)
    files = obtain(asr.model, language=asr.spoken)
    contents = files.read()
    network, compute_type = _load(asr, cores, files, contents)
    tokens = _tokens(files, contents, network)
    if not network.multilingual:
        _require_english(asr)
    elif asr.spoken and asr.spoken not in tokens.languages:
        raise UserError(f"asr.language {asr.language}: whisper does not know it")
    return f"whisper {files.name} {compute_type}", network, tokens


def _require_english(asr: Asr) -> None:
    if asr.spoken not in ("en", None):
        raise UserError(
            f"whisper model {asr.model} knows English only: set asr.language to en, "
            "or asr.model to a model without .en"
        )


def _load(
    asr: Asr, cores: int, files: ModelFiles, contents: dict[str, bytes] | None
) -> tuple[WhisperNetwork, str]:
    """Load the networks and choose their arithmetic, on the device that the settings name or that works."""
    from ctranslate2 import get_cuda_device_count

    if asr.device != "cpu" and get_cuda_device_count():
        try:
            return _load_on("cuda", asr, cores, files, contents)
        except UserError as error:
            if asr.device == "cuda":
                raise
            log.warning("%s; the CPU stands in for the GPU", error)
    elif asr.device == "cuda":
        raise UserError("asr.device cuda: CTranslate2 finds no GPU; set asr.device to auto")
    return _load_on("cpu", asr, cores, files, contents)


def _load_on(
    device: str, asr: Asr, cores: int, files: ModelFiles, contents: dict[str, bytes] | None
) -> tuple[WhisperNetwork, str]:
    from ctranslate2.models import Whisper

    compute_type = "float16" if device == "cuda" else "int8"
    try:
        model = Whisper(
            str(files.directory),
            device=device,
            compute_type=compute_type,
            intra_threads=_threads(asr, cores),
            files=contents,
        )
        network = WhisperNetwork(model, _voice())
        # What is slow the first time: a GPU's libraries are looked for, and silence is encoded.
        network.context(network.encode(np.zeros((network.bands, 2), np.float32)), 1)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"whisper model {files.name}: cannot be loaded: {reason}") from error
    return network, compute_type


def _voice() -> Samples:
    """Return a second of speech, of the sample call."""
    import av

    begin, end = round(0.3 * SAMPLE_RATE), round(1.3 * SAMPLE_RATE)
    pieces: list[Samples] = []
    with av.open(str(sample_call())) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        for frame in container.decode(audio=0):
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
            if sum(map(len, pieces)) >= end:
                break
    return np.concatenate(pieces)[begin:end]


def _tokens(
    files: ModelFiles, contents: dict[str, bytes] | None, network: WhisperNetwork
) -> Tokens:
    def read(name: str) -> bytes:
        return contents[name] if contents else (files.directory / name).read_bytes()

    try:
        languages: list[Any] = json.loads(read("config.json")).get("lang_ids", [])
        return Tokens(
            read("tokenizer.json"), multilingual=network.multilingual, languages=languages
        )
    except Exception as error:  # of whatever is wrong with the files
        reason = " ".join(str(error).split())
        raise UserError(
            f"whisper model {files.name}: its tokens cannot be read: {reason}"
        ) from error


def _threads(asr: Asr, cores: int) -> int:
    """Threads of this model: speech detection needs the other cores, and more than 4 are hardly faster."""
    return max(1, min(4, cores // (2 * asr.parallel)))
