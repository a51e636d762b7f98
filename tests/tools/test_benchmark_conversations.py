"""The benchmarks of whole conversations, in small: what they write is there and fits together."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamer import events
from streamer.clock import VirtualClock
from streamer.settings import load as configuration
from tools.benchmark import agreement, archive, calls, capacity, latency, load, playing, soak
from tools.benchmark.__main__ import COMMANDS
from tools.command_line import dispatch


@pytest.fixture
def measure(tmp_path, capsys):
    """Runs a command; gives what it wrote, and what it printed."""

    def run(*arguments):
        file = tmp_path / "figures.json"
        assert dispatch("benchmark", "", COMMANDS, [*arguments, "--json", str(file)]) == 0
        return json.loads(file.read_text()), capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A folder with the first seconds of the sample call."""
    folder = tmp_path_factory.mktemp("short")
    call = calls.read_call(calls.recordings(None)[0])
    soundfile.write(folder / "call.wav", call.samples[:, : 10 * 16_000].T, 16_000)
    return folder


def test_analysis_gives_every_stage_and_the_whole(measure, short):
    figures, printed = measure("analysis", "--rounds", "1", "--data", str(short))
    stages = {stage["name"]: stage["cpu_ms"] for stage in figures["stages"]}
    assert list(stages) == [
        "decoding",
        "voice detection",
        "LEAF and CNN",
        "text",
        "context and fusion",
        "events",
    ]
    assert all(cost > 0 for cost in stages.values())
    assert len(figures["whole"]) == 2
    assert figures["channels"] == 2
    assert figures["utterances"] > 1
    assert "load average" in printed
    assert figures["machine"]["cores"] >= 1


def test_the_environment_has_a_say_in_what_is_measured(monkeypatch, random_bundle):
    monkeypatch.setenv("STREAMER_EMOTION_BUNDLE", str(random_bundle))
    monkeypatch.setenv("STREAMER_SEGMENTATION_ENDPOINT", "fixed")
    with calls.load_engine("none") as engine:
        assert engine.settings.segmentation.endpoint == "fixed"


def test_analysis_of_a_folder_without_recordings_is_a_mistake(tmp_path, capsys):
    assert dispatch("benchmark", "", COMMANDS, ["analysis", "--data", str(tmp_path)]) == 2
    assert "no recordings" in capsys.readouterr().err


def test_capacity_tells_each_step(measure):
    figures, _ = measure("capacity", "--seconds", "4", "--first", "1", "--most", "1")
    (step,) = figures["steps"]
    assert step["streams"] == 1
    assert step["utterances"] > 0
    assert 0 < step["p50_ms"] <= step["p95_ms"]
    assert step["holds"] == (step["p95_ms"] <= 200 and step["losses"] == 0)
    assert figures["streams"] == {"none": int(step["holds"])}


@given(truth=st.integers(0, 600), first=st.integers(1, 100), most=st.integers(1, 512))
def test_the_search_finds_the_largest_number_that_holds(truth, first, most):
    tried = []

    def holds(number):
        tried.append(number)
        return number <= truth

    found = capacity.largest(holds, first, most)
    expected = min(truth, most)
    assert found <= expected
    assert expected - found <= max(1, found // 20) - 1
    assert all(1 <= number <= most for number in tried)
    assert len(tried) == len(set(tried))


@pytest.mark.parametrize("given", ["brief", "recordings"])
def test_soak_measures_stretches_of_as_many_seconds(measure, short, given):
    seconds = 40 * calls.BRIEF_SECONDS
    length = ("--utterances", "40")
    if given == "recordings":
        length = ("--data", str(short), "--hours", str(seconds / 3600))
    figures, _ = measure("soak", *length, "--points", "4", "--asr", "known")
    points = figures["points"]
    assert len(points) in (3, 4)
    assert [p["utterances"] for p in points] == sorted({p["utterances"] for p in points})
    assert all(point["memory_mb"] > 50 and point["cpu_ms"] > 0 for point in points)
    assert points[2]["hours"] == pytest.approx(0.75 * seconds / 3600, rel=0.3)


@given(slope=st.floats(-100, 100), begin=st.floats(-100, 100), count=st.integers(3, 40))
def test_the_slope_of_a_straight_line_is_certain(slope, begin, count):
    x = np.linspace(0, 3, count)
    found = soak.slope(list(x), list(begin + slope * x))
    assert found.value == pytest.approx(slope, abs=1e-6)
    assert found.margin == pytest.approx(0, abs=1e-6)


def test_the_margin_of_a_slope_holds_the_truth_most_of_the_time():
    random = np.random.default_rng(0)
    x = list(np.linspace(0, 1, 40))
    found = [soak.slope(x, list(2 * np.asarray(x) + random.normal(size=40))) for _ in range(400)]
    inside = np.mean([abs(slope.value - 2) <= slope.margin for slope in found])
    assert 0.9 < inside < 0.98


def test_archive_goes_through_all_calls(measure, short):
    figures, _ = measure("archive", "--hours", "0.001", "--rounds", "1", "--data", str(short))
    assert figures["files"] >= 1
    assert figures["hours"] >= 0.002  # one call at least
    assert figures["loading_s"] > 0
    for result in figures["results"]:
        assert 0 < result["hours_per_hour"] < result["loaded_hours_per_hour"]
        assert result["cpu_ms"] > 0


def test_an_archive_links_recordings_until_it_is_long_enough(tmp_path):
    (sample,) = calls.recordings(None)
    files, hours = archive._collect([sample], tmp_path, hours=0.03, least=2)
    assert hours >= 0.03
    assert len(files) == 3
    assert {file.resolve() for file in files} == {sample}
    assert len({file.stem for file in files}) == 3


async def test_an_endless_call_goes_on_where_it_began():
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, (2, 5000)).astype(np.float32)
    call = calls.Call("call", ("a", "b"), samples)
    clock = VirtualClock()
    source = calls.Endless(call, clock, seconds=1.0, live=True, begin=0.1)
    heard = [[], []]
    async for chunk in source:
        assert chunk.start == sum(map(len, heard[chunk.channel]))
        assert chunk.captured == pytest.approx(chunk.end / 16_000)
        heard[chunk.channel].append(chunk.samples)
    expected = np.tile(samples, 4)[:, 1600 : 1600 + 16_000]
    assert np.array_equal(np.stack([np.concatenate(pieces) for pieces in heard]), expected)
    assert clock.seconds() == pytest.approx(1.0)


def test_known_words_are_as_many_as_are_said():
    said = calls.KnownWords().transcribe(np.zeros(16_000 * 20, np.float32), language="en")
    assert said.status == "ok"
    assert len(said.text.split()) == 50


def test_tones_are_found_where_they_stand_alone():
    rate = 16_000
    tone = 0.3 * np.cos(np.arange(320) * 0.4)
    talk = np.random.default_rng(0).normal(0, 0.2, 3 * rate)
    quiet = np.zeros(2 * rate)
    clicks = [quiet, tone[:40], quiet, np.repeat(tone, 2)]
    heard = np.concatenate([quiet, tone, quiet, talk, quiet, tone, *clicks, quiet, talk, tone])
    assert playing.tones(heard.astype(np.float32), rate) == pytest.approx([2, 9.02])
    assert playing.tones(np.zeros(rate, np.float32), rate) == []


def utterance(start, end, **more):
    common = {"session": "s", "seq": 0, "time": datetime(2026, 1, 1, tzinfo=UTC), "channel": "a"}
    rest = {"utterance": "u", "turn": 0, "emotion": None, "confidence": 0, "probabilities": {}}
    rest |= {"abstained": True, "text": None, "text_status": "skipped", "modalities": []}
    told = events.Latency(endpoint=500, transcription=20, analysis=5, total=555)
    rest |= {"language": None, "latency_ms": told}
    return events.Utterance(start=start, end=end, **common | rest | more)


def test_the_stopwatch_counts_from_when_the_tone_sounded():
    settings = configuration.load().segmentation

    def heard(start, end, endpoint):
        told = events.Latency(endpoint=endpoint, transcription=20, analysis=5, total=555)
        return utterance(start, end + settings.tail, latency_ms=told)

    said = [
        (100.0, heard(0, 2, 500)),  # before the first tone
        (106.0, heard(4, 5.4, 500)),
        (112.0, heard(8, 20, 4000)),  # cut because it was too long
        (220.5, heard(30, 40, 500)),
    ]
    measured = latency.measure(said, [3.0, 25.0], [103.0, 205.0], settings)
    assert [m.stopwatch for m in measured] == pytest.approx([600, 500])
    assert {m.told for m in measured} == {555}


def test_utterances_agree_if_both_ends_do():
    live = [utterance(13.02, 14.0), utterance(15.0, 16.0), utterance(17.0, 18.0)]
    replayed = [utterance(3.0, 4.05), utterance(5.0, 6.2), utterance(6.95, 7.94)]
    found = agreement.pairs(live, replayed, 10.0)
    assert found == [(live[0], replayed[0]), (live[2], replayed[2])]
    assert agreement.Compared("a", 3, 3, 2, 2).share == pytest.approx(2 / 3)


def test_what_a_busy_machine_loses_is_found():
    common = {"session": "s", "time": datetime(2026, 1, 1, tzinfo=UTC)}
    about = {"channel": "a", "utterance": "u", "start": 1.0}
    model = events.Model(name="m", version="1")
    begun = {"source": "s", "channels": ["a"], "model": model, "labels": [], "asr": "none"}
    end = {"utterances": 1, "gaps": 1, "errors": 0, "reason": "interrupted"}

    def told(second_speech, duration):
        return [
            (100.0, events.SessionStarted(seq=0, streamer_version="1", **common, **begun)),
            (101.7, events.SpeechStarted(seq=1, end=1.5, **common, **about)),
            (103.0, events.SpeechStarted(seq=2, end=2.5, **common, **about | second_speech)),
            (104.0, utterance(1.0, 3.0, seq=3)),
            (107.0, events.Gap(seq=4, channel="a", start=4, end=6, reason="behind", **common)),
            (110.0, events.SessionEnded(seq=5, duration=duration, **common, **end)),
        ]

    fine = told({"utterance": "u"}, 9.9)
    del fine[2]
    fine = [(at, event.model_copy(update={"seq": n})) for n, (at, event) in enumerate(fine)]
    result = load.judge(fine, 110.0, 5.0)
    assert result.broken == []
    assert result.lag == pytest.approx(0.2)
    assert result.utterance_lag == pytest.approx(1.0)
    assert result.unaccounted == pytest.approx(0.1)
    assert (result.gaps, result.texts) == (2, {"skipped": 1})
    late = [*fine[:-2], (109.0, fine[-2][1]), fine[-1]]
    late[2] = (110.0, late[2][1])
    assert load.judge(late, 110.0, 5.0).broken == ["later than max_lag"]
    assert load.judge(told({"utterance": "v"}, 5), 110.0, 5.0).broken == [
        "speech without its utterance"
    ]
