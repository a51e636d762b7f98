"""pocketsphinx, in its own process, on real and on hopeless audio."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from streamer.errors import UserError
from streamer.settings.tree import Asr
from streamer.transcription.sphinx import SphinxTranscriber


def load(file):
    """A recording as the program hears it: mono, 16 kHz."""
    import av

    with av.open(str(file)) as container:
        resampler = av.AudioResampler("flt", "mono", 16000)
        frames = [
            part.to_ndarray()[0]
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    return np.concatenate(frames)


@pytest.fixture(scope="module")
def sphinx():
    return SphinxTranscriber(Asr())


@pytest.fixture(scope="module")
def sentence(shared_data):
    return load(shared_data / "calls" / "asr_speechbrain_spk1_snt1.ogg")


@pytest.fixture(scope="module")
def word(sentence):
    return sentence[:12000]


def noise(seconds, volume=0.05):
    return (np.random.default_rng(0).normal(size=int(16000 * seconds)) * volume).astype(np.float32)


def test_it_hears_a_sentence_with_its_words_and_times(sphinx, sentence):
    transcript = sphinx.transcribe(sentence, language="en")
    assert transcript.status == "ok"
    assert "the child almost" in transcript.text
    assert transcript.text == " ".join(word.text for word in transcript.words)
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= len(sentence) / 16000
    assert 0 < transcript.confidence <= 1
    assert all(0 <= word.probability <= 1 for word in transcript.words)


def test_the_same_audio_gives_the_same_text_whatever_came_before(sphinx, word):
    quiet = word * 0.05
    before = sphinx.transcribe(word, language="en")
    sphinx.transcribe(noise(0.5, 0.5), language="en")
    other = sphinx.transcribe(quiet, language="en")
    assert sphinx.transcribe(word, language="en") == before
    fresh = SphinxTranscriber(Asr())
    assert fresh.transcribe(quiet, language="en") == other


@pytest.mark.parametrize("samples", [0, 1, 480, 1599])
def test_what_is_too_short_for_a_word_is_rejected_unheard(sphinx, samples):
    transcript = sphinx.transcribe(np.zeros(samples, np.float32), language="en")
    assert (transcript.status, transcript.text) == ("rejected", "")


@pytest.mark.parametrize("fill", [0.0, 1.0, -1.0, 1e30])
def test_hopeless_audio_is_rejected(sphinx, fill):
    transcript = sphinx.transcribe(np.full(8000, fill, np.float32), language="en")
    assert (transcript.status, transcript.text) == ("rejected", "")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_fail(sphinx, bad):
    samples = noise(0.5)
    samples[100] = bad
    assert sphinx.transcribe(samples, language="en").status == "failed"


def test_noise_makes_no_text(sphinx):
    assert sphinx.transcribe(noise(2.0), language="en").status == "rejected"


def test_it_knows_english_only(sphinx):
    with pytest.raises(UserError, match=r"asr\.language"):
        SphinxTranscriber(Asr(language="de"))
    with pytest.raises(UserError, match=r"asr\.language"):
        SphinxTranscriber(Asr(language=None))
    assert sphinx.transcribe(noise(1.0), language="de").status == "skipped"


def test_other_threads_run_while_it_decodes(sphinx, sentence):
    ticks = []
    done = threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    began = time.perf_counter()
    sphinx.transcribe(sentence, language="en")
    took = time.perf_counter() - began
    done.set()
    ticker.join()
    assert np.diff(ticks).max() < took / 2


def test_a_process_that_was_killed_fails_once_and_is_started_anew(word):
    transcriber = SphinxTranscriber(Asr())
    before = transcriber.transcribe(word, language="en")
    os.kill(transcriber._worker.pid, signal.SIGKILL)
    transcriber._worker.wait()
    failed = transcriber.transcribe(word, language="en")
    assert (failed.status, failed.text) == ("failed", "")
    assert transcriber.transcribe(word, language="en") == before


def test_ctrl_c_in_the_terminal_leaves_the_process_to_its_parent(word):
    transcriber = SphinxTranscriber(Asr())
    before = transcriber.transcribe(word, language="en")
    os.kill(transcriber._worker.pid, signal.SIGINT)
    assert transcriber.transcribe(word, language="en") == before


def test_the_process_ends_with_the_transcriber():
    transcriber = SphinxTranscriber(Asr())
    worker = transcriber._worker
    assert worker.poll() is None
    del transcriber
    assert worker.poll() is not None


def test_closing_breaks_off_what_is_going_on(sentence):
    transcriber = SphinxTranscriber(Asr())
    long = np.tile(sentence, 20)
    heard = []
    thread = threading.Thread(
        target=lambda: heard.append(transcriber.transcribe(long, language="en"))
    )
    thread.start()
    transcriber.close()
    thread.join(20)
    assert [transcript.status for transcript in heard] == ["failed"]
    assert transcriber._worker.wait() != 0


def test_it_keeps_silent(word, capfd):
    transcriber = SphinxTranscriber(Asr())
    transcriber.transcribe(word, language="en")
    assert capfd.readouterr() == ("", "")
