"""What the audio branch costs: LEAF beside its direct form, PCEN, the network, and all of it as a stream."""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from streamer.process import one_thread_per_computation
from streamer_models.encoders.leaf_cnn import LeafCnn
from streamer_models.fast.leaf_cnn import FastLeafCnn
from streamer_models.layers.leaf import direct_energies
from streamer_models.streaming import LeafCnnStream
from tools.benchmark.measuring import Case, alternate, print_costs, write_json

_RATE = 16_000
_CHUNK = 1600
"""Samples that the stream is given at a time: 0.1 s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--seconds", type=float, default=10.0, help="audio per call (default 10)")
    parser.add_argument("--rounds", type=int, default=15, help="calls of each case (default 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    torch.manual_seed(0)
    encoder = LeafCnn().eval().requires_grad_(requires_grad=False)
    network = FastLeafCnn(encoder)
    samples = _speech_like(round(arguments.seconds * _RATE))
    one_thread_per_computation()
    costs = alternate(_cases(encoder, network, samples, arguments.seconds), arguments.rounds)
    endpoint = alternate([_endpoint(network, samples), _first(network, samples)], arguments.rounds)
    error = _error(encoder, samples)
    by_name = {cost.name: cost for cost in costs}
    ratio = by_name["LEAF, direct"].cpu_ms / by_name["LEAF"].cpu_ms
    print_costs("Audio branch, one thread", "s of audio", costs)
    print_costs("Left to do at the end of an utterance", "utterance", endpoint)
    print(
        f"LEAF costs 1/{ratio:.0f} of its direct form; its log energies differ from those in double precision by "
        f"{error['p999']:.1e} (99.9 % of them), {error['max']:.1e} (all)."
    )
    results = {"costs": costs, "endpoint": endpoint, "times_direct": ratio, "log_error": error}
    write_json(arguments.json, "frontend", results)


def _cases(
    encoder: LeafCnn, network: FastLeafCnn, samples: np.ndarray, seconds: float
) -> list[Case]:
    wave = torch.from_numpy(samples)[None]
    leaf = encoder.leaf
    energies = leaf.energies(wave)
    features = leaf.compress(energies)
    learning = copy.deepcopy(leaf).requires_grad_()

    def learn() -> None:
        torch.autograd.backward(learning.energies(wave).log().sum())

    def stream() -> None:
        stream = LeafCnnStream(network)
        for start in range(0, len(samples), _CHUNK):
            stream.push(samples[start : start + _CHUNK])
        stream.embedding()

    def evaluation(name: str, call: Callable[[], object]) -> Case:
        return Case(name, torch.inference_mode()(call), seconds)

    return [
        evaluation("LEAF", lambda: leaf.energies(wave)),
        evaluation("LEAF, direct", lambda: direct_energies(leaf, wave)),
        Case("LEAF, forward and backward", learn, seconds),
        evaluation("PCEN", lambda: leaf.compress(energies)),
        evaluation("CNN", lambda: encoder.cnn(features)),
        evaluation("CNN, as in the stream", lambda: network.columns(features[0], ())),
        evaluation("all, at once", lambda: encoder(wave)),
        evaluation("all, as a stream of 0.1 s chunks", stream),
    ]


def _endpoint(network: FastLeafCnn, samples: np.ndarray) -> Case:
    """Return the embedding of an utterance all of whose samples are there, at each of many ends."""
    stream = LeafCnnStream(network)
    stream.push(samples)
    ends = range(len(samples) - 12_000, len(samples), 1000)

    def finish() -> None:
        for end in ends:
            stream.embedding(end)

    return Case("LeafCnnStream.embedding", finish, len(ends))


def _first(network: FastLeafCnn, samples: np.ndarray) -> Case:
    """Return an estimate before an utterance is as long as the convolutions reach; later ones are just a quotient."""
    stream = LeafCnnStream(network)
    stream.push(samples[: _RATE // 2])
    return Case("LeafCnnStream.estimate, after 0.5 s", stream.estimate)


def _error(encoder: LeafCnn, samples: np.ndarray) -> dict[str, float]:
    wave = torch.from_numpy(samples)[None]
    reference = direct_energies(copy.deepcopy(encoder.leaf).double(), wave.double())
    error = (encoder.leaf.energies(wave).double().log() - reference.log()).abs().flatten()
    return {"p999": float(error.quantile(0.999)), "max": float(error.max())}


def _speech_like(length: int) -> np.ndarray:
    """Return harmonics of a gliding pitch in syllables, over noise: what is measured does not depend on it."""
    random = np.random.default_rng(0)
    time = np.arange(length) / _RATE
    phase = 2 * np.pi * np.cumsum(150 + 50 * np.sin(2 * np.pi * 0.7 * time)) / _RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, None)
    return (0.05 * voice * syllables + 0.001 * random.standard_normal(length)).astype(np.float32)
