"""The process in which pocketsphinx runs: a script that knows nothing of the rest of streamer.

pocketsphinx holds Python's lock while it decodes, seconds at a time, in which a microphone in the same
process would lose audio. It also writes to stderr as it likes, which the parent turns off.

Standard input carries requests, standard output one answer to each; the end of the input ends the
process. A request is the number of bytes (little-endian uint32) and as many bytes of 16-bit PCM at
16 kHz; an answer is a line of JSON, see `answer`.
"""

import json
import signal
import struct
import sys
from typing import Any

import pocketsphinx

SEARCH = {"maxhmmpf": 5000}
"""Hypotheses followed at a time, of the library's 30,000: a quarter less work at the same word error
rate (3,000 would save another sixth and cost 7 points; fewer passes or coarser scores cost more)."""


def answer(decoder: Any, pcm: bytes) -> dict[str, Any]:
    """Decode one utterance: its words with times (seconds) and posteriors (0..1).

    Nothing is adapted from one utterance to the next, so that their order does not matter: the whole
    utterance is given at once, which makes the cepstral mean its own, and the front end starts anew,
    which forgets the noise that it has learnt (0.2 ms).
    """
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return {"words": []}
    frame_rate = decoder.config["frate"]
    return {
        "words": [
            [
                segment.word,
                segment.start_frame / frame_rate,
                (segment.end_frame + 1) / frame_rate,
                min(1.0, max(1e-9, segment.prob)),
            ]
            for segment in decoder.seg()
        ]
    }


def main() -> None:
    """Serve requests until the input ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides
    decoder = pocketsphinx.Decoder(loglevel="FATAL", **SEARCH)
    requests = sys.stdin.buffer
    while len(header := requests.read(4)) == 4:
        pcm = requests.read(*struct.unpack("<I", header))
        sys.stdout.write(json.dumps(answer(decoder, pcm)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
