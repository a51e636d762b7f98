from pathlib import Path

import faster_whisper
import numpy as np
import pytest

from streamer.audio import FRAME, SAMPLE_RATE
from streamer.errors import UserError
from streamer.registry import DETECTORS
from streamer.settings.tree import Segmentation
from streamer.sources.recording.decoder import Decoder
from streamer.speech.detectors import gated, silero
from streamer.speech.registry import make_detector, make_segmenter
from streamer_models.onnx_session import session_of
from tests.streamer.speech.speech import chunks, names, plain, utterances

EDGES = {
    "silence": np.zeros(5 * SAMPLE_RATE, np.float32),
    "hiss": np.random.default_rng(0).normal(0, 0.003, 5 * SAMPLE_RATE).astype(np.float32),
    "loud noise": np.clip(np.random.default_rng(0).normal(0, 0.3, 5 * SAMPLE_RATE), -1, 1).astype(
        np.float32
    ),
    "offset": np.full(5 * SAMPLE_RATE, 0.7, np.float32),
    "clipped": np.sign(np.sin(np.arange(5 * SAMPLE_RATE) * 0.2)).astype(np.float32),
    "smallest numbers": np.full(5 * SAMPLE_RATE, 1e-42, np.float32),
}


@pytest.fixture(scope="module")
def voice(shared_data):
    """30 s of a telephone call: 6.7 s without speech, then two people in turns."""
    with Decoder(shared_data / "calls" / "tel_pyannote_sample.ogg") as decoder:
        assert decoder.rate in (16_000, 48_000)
        samples = np.concatenate([block.samples[:, 0] for block in decoder.blocks(SAMPLE_RATE)])
        return np.ascontiguousarray(samples[:: decoder.rate // SAMPLE_RATE])


def judge(detector, samples, at_once=33):
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    some = [frames[n : n + at_once] for n in range(0, len(frames), at_once)]
    return np.array([probability for few in some for probability in detector(few)])


def listen(samples, sizes=(FRAME,), **settings):
    cutter = make_segmenter(Segmentation(**settings), 0)
    events = [event for chunk in chunks(samples, sizes) for event in cutter.push(chunk)]
    return events + list(cutter.flush())


@pytest.mark.parametrize("detector", DETECTORS.names())
class TestEach:
    @pytest.mark.parametrize("edge", EDGES)
    def test_gives_probabilities_for_any_audio(self, detector, edge):
        judged = judge(make_detector(Segmentation(detector=detector)), EDGES[edge])
        assert ((judged >= 0) & (judged <= 1)).all()

    @pytest.mark.parametrize("edge", ["silence", "smallest numbers"])
    def test_finds_no_speech_in_silence(self, detector, edge):
        assert listen(EDGES[edge], detector=detector) == []

    def test_finds_speech(self, detector, voice):
        judged = judge(make_detector(Segmentation(detector=detector)), voice)
        assert (judged[: 6 * SAMPLE_RATE // FRAME] >= 0.5).mean() < 0.3
        assert (judged[8 * SAMPLE_RATE // FRAME :] >= 0.5).mean() > 0.7

    def test_reset_forgets_everything(self, detector, voice):
        used = make_detector(Segmentation(detector=detector))
        first = judge(used, voice[-5 * SAMPLE_RATE :])
        used.reset()
        np.testing.assert_array_equal(judge(used, voice[-5 * SAMPLE_RATE :]), first)

    def test_channels_do_not_affect_each_other(self, detector, voice):
        one, other = voice[200 * FRAME : 330 * FRAME], voice[500 * FRAME : 630 * FRAME]
        settings = Segmentation(detector=detector)
        alone = judge(make_detector(settings), one)
        left, right = make_detector(settings), make_detector(settings)
        together = [
            (left(a), right(b))
            for a, b in zip(one.reshape(-1, 1, FRAME), other.reshape(-1, 1, FRAME), strict=True)
        ]
        np.testing.assert_array_equal([p for (p,), _ in together], alone)

    def test_frame_by_frame_or_many_at_once_is_the_same(self, detector, voice):
        noise = np.random.default_rng(1).normal(0, 0.01, 8 * SAMPLE_RATE).astype(np.float32)
        heard = np.concatenate([voice, noise, EDGES["silence"], voice[-5 * SAMPLE_RATE :]])
        single = judge(make_detector(Segmentation(detector=detector)), heard, 1)
        for many in (2, 7, 33, 10**6):
            judged = judge(make_detector(Segmentation(detector=detector)), heard, many)
            np.testing.assert_array_equal(judged, single)

    def test_chunk_sizes_do_not_matter(self, detector, voice):
        whole = plain(listen(voice, [len(voice)], detector=detector))
        assert len(whole) >= 4
        for sizes in ([160], [441, 1], [7919, 160_000, 3]):
            assert plain(listen(voice, sizes, detector=detector)) == whole


@pytest.mark.parametrize("detector", ["silero", "gated"])
@pytest.mark.parametrize("edge", ["hiss", "loud noise", "offset"])
def test_the_network_is_not_fooled_by_noise(detector, edge):
    assert listen(EDGES[edge], detector=detector) == []


def test_the_gate_keeps_the_network_idle_in_silence(monkeypatch):
    asked = []
    judge_frames = silero.SileroDetector.__call__
    monkeypatch.setattr(
        gated.SileroDetector,
        "__call__",
        lambda self, frames: asked.append(frames) or judge_frames(self, frames),
    )
    judge(make_detector(Segmentation(detector="gated")), EDGES["silence"])
    assert asked == []


def test_the_gate_loses_no_utterance(voice):
    gated = utterances(listen(voice, detector="gated"))
    spoken = sum(len(part.samples) for part in gated)
    lone = utterances(listen(voice, detector="silero", threshold=0.3, hysteresis=0.0))
    assert spoken >= 0.98 * sum(len(part.samples) for part in lone)


@pytest.mark.parametrize("detector", ["silero", "gated"])
def test_finds_speech_after_minutes_of_noise(detector, voice):
    # The network's state, left alone, drifts in noise until it misses much of what follows.
    noise = np.random.default_rng(1).normal(0, 0.01, 300 * SAMPLE_RATE).astype(np.float32)
    tired = make_detector(Segmentation(detector=detector))
    judge(tired, noise)
    fresh = judge(make_detector(Segmentation(detector=detector)), voice)
    assert np.abs(judge(tired, voice) - fresh).mean() < 0.03


def test_gives_what_the_network_gives_in_its_original_form(voice):
    network = Path(faster_whisper.__file__).parent / "assets" / "silero_vad_v6.onnx"
    session = session_of(network.read_bytes())
    samples = np.concatenate([np.zeros(silero._INPUT - FRAME + silero._APART, np.float32), voice])
    windows = np.lib.stride_tricks.sliding_window_view(samples, silero._INPUT)
    state = np.zeros((1, 1, 128), np.float32)
    expected = []
    frames = 6 * SAMPLE_RATE // FRAME  # before any state is stale
    for first in (0, silero._APART):
        run = np.ascontiguousarray(windows[first::FRAME][200 : 200 + frames])
        expected.append(session.run(None, {"input": run, "h": state, "c": state})[0].ravel())
    detector = silero.SileroDetector()
    detector._before = samples[200 * FRAME :][: len(detector._before)]
    judged = detector(voice[200 * FRAME :][: frames * FRAME].reshape(-1, FRAME))
    raised = [silero._raised(probability) for probability in np.mean(expected, axis=0)]
    np.testing.assert_allclose(judged, raised, atol=1e-5)
    assert max(judged) > 0.9


def test_an_utterance_begins_before_its_first_sound(voice):
    started = listen(voice, detector="gated")[0]
    assert names([started]) == ["Started"]
    assert 6.0 * SAMPLE_RATE < started.start < 6.69 * SAMPLE_RATE


def test_a_missing_network_is_one_clear_line(monkeypatch):
    silero._session.cache_clear()
    monkeypatch.setattr(silero, "_FILE", "silero-6/nowhere.onnx")
    with pytest.raises(UserError, match=r"set segmentation\.detector to webrtcvad"):
        make_segmenter(Segmentation(detector="gated"), 0)
    make_segmenter(Segmentation(detector="webrtcvad"), 0)
