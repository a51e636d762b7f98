"""Recordings for archives: short stretches of the sample call."""

import json
import wave

import numpy as np

from tests.streamer.web.serving import samples


def write_calls(folder, count=3, seconds=4.0):
    """Write different calls as WAV; give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    audio = samples()
    paths = []
    for number in range(count):
        start = round(number * seconds * 16_000)
        path = folder / f"call {number}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(np.ascontiguousarray(audio[start : start + round(seconds * 16_000)]))
        paths.append(path)
    return paths


def normalised(path):
    """The events of a file without what differs between runs."""
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    for event in events:
        for key in ("time", "latency_ms", "source"):
            event.pop(key, None)
    return events
