"""Miniature corpora in the forms of IEMOCAP: features and texts, and the release's folders. Wholly invented."""

import csv
import gzip
import wave
from pathlib import Path

import numpy as np

SAID = {
    "anger": "this is an outrage and I hate it",
    "happiness": "that is wonderful I love it",
    "sadness": "I lost him and I cannot stop crying",
    "neutral": "the form is on the second desk",
    "frustration": "why does nobody ever listen",
}
EMOTION4 = {"anger": "angry", "happiness": "happy", "sadness": "sad", "neutral": "neutral"}
VALENCE = {"anger": 1.5, "happiness": 4.5, "sadness": 2.0, "neutral": 3.0, "frustration": 2.5}
ABBREVIATED = {
    "anger": "ang", "happiness": "hap", "sadness": "sad", "neutral": "neu", "frustration": "fru",
}  # fmt: skip


def turns(sessions: tuple[int, ...], per_dialogue: int = 10) -> list[dict[str, str]]:
    """Rows of utterances.csv: two dialogues a session, one improvised and one scripted."""
    rows = []
    emotions = list(SAID)
    for session in sessions:
        for kind in ("impro01", "script01_1"):
            dialogue = f"Ses{session:02d}F_{kind}"
            for turn in range(per_dialogue):
                sex = "FM"[turn % 2]
                emotion = emotions[(turn + session) % len(emotions)]
                rows.append(
                    {
                        "utterance_id": f"{dialogue}_{sex}{turn:03d}",
                        "dialogue_id": dialogue,
                        "turn": str(turn),
                        "speaker": f"Ses{session:02d}_{sex}",
                        "text": SAID[emotion],
                        "emotion": emotion,
                        "emotion4": EMOTION4.get(emotion, ""),
                        "start": str(turn * 2.0),
                        "end": str(turn * 2.0 + 1.5),
                        "session": f"Ses{session:02d}",
                        "scenario": kind[:5] if kind.startswith("impro") else "script",
                        "hop_s": "0.032",
                        "valence": str(VALENCE[emotion]),
                        "activation": str(2.0 + turn % 3),
                    }
                )
    return rows


def write_features(folder: Path, sessions: tuple[int, ...] = (1, 2, 3)) -> Path:
    """A folder as `train iemocap --data` takes it. An emotion shows as a band, and as a statistic."""
    rng = np.random.default_rng(0)
    rows = turns(sessions)
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "utterances.csv.gz", "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    places = {emotion: place for place, emotion in enumerate(SAID)}
    for session in sessions:
        mine = [row for row in rows if row["session"] == f"Ses{session:02d}"]
        frames, offsets = [], [0]
        for row in mine:
            length = int(rng.integers(20, 60))
            image = rng.integers(0, 8, (length, 64))
            image[:, 12 * places[row["emotion"]] :][:, :12] += 20
            frames.append(image.astype(np.uint8))
            offsets.append(offsets[-1] + length)
        np.savez_compressed(
            folder / f"logmel64_session{session}.npz",
            utterance_id=np.array([row["utterance_id"] for row in mine]),
            frames=np.concatenate(frames),
            offsets=np.array(offsets),
        )
    statistics = rng.normal(size=(len(rows), 4)).astype(np.float32)
    statistics[:, 0] += [3 * places[row["emotion"]] for row in rows]
    levels = rng.uniform(0.01, 1, (len(rows), 2)).astype(np.float32)
    levels[0] = np.nan
    np.savez_compressed(
        folder / "acoustic_stats.npz",
        utterance_id=np.array([row["utterance_id"] for row in rows]),
        features=statistics,
        feature_names=np.array(["f0st_mean", "energy_mean", "dur_s", "words_per_s"]),
        wav8=levels,
        wav8_names=np.array(["rmse_mean", "silence"]),
    )
    return folder


def write_release(root: Path, sessions: tuple[int, ...] = (1, 2)) -> Path:
    """The folders of the release. An emotion is a pitch."""
    rng = np.random.default_rng(0)
    for row in turns(sessions, per_dialogue=5):
        session = root / f"Session{int(row['session'][3:])}"
        wavs = session / "sentences" / "wav" / row["dialogue_id"]
        annotations = session / "dialog" / "EmoEvaluation"
        transcriptions = session / "dialog" / "transcriptions"
        for folder in (wavs, annotations, transcriptions):
            folder.mkdir(parents=True, exist_ok=True)
        pitch = 150 * (1 + list(SAID).index(row["emotion"]))
        seconds = np.arange(8000) / 16000
        tone = 0.3 * np.sin(2 * np.pi * pitch * seconds) + 0.01 * rng.normal(size=len(seconds))
        with wave.open(str(wavs / f"{row['utterance_id']}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((tone * 32767).astype("<i2").tobytes())
        with (annotations / f"{row['dialogue_id']}.txt").open("a") as file:
            if row["turn"] == "0":
                file.write("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n")
            file.write(
                f"[{float(row['start']):.4f} - {float(row['end']):.4f}]\t{row['utterance_id']}\t"
                f"{ABBREVIATED[row['emotion']]}\t[2.5000, 2.5000, 2.5000]\n"
                "C-E2:\tNeutral;\t()\n"
            )
        with (transcriptions / f"{row['dialogue_id']}.txt").open("a") as file:
            file.write(
                f"{row['utterance_id']} [{float(row['start']):08.4f}-{float(row['end']):08.4f}]: "
                f"{row['text']}\n"
            )
            file.write("M: [LAUGHTER]\n")
        (annotations / f"._{row['dialogue_id']}.txt").write_bytes(b"\x00\x05\x16\x07\xff")
    return root
