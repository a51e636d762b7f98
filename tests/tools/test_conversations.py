"""Written dialogues: read in order, counted once, composed with voices, judged with nothing but their past."""

import argparse
import dataclasses
import gzip
import json

import numpy as np
import pytest
import torch

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from tests.tools.pages import assert_its_page_has_curves
from tests.tools.small_world import dialogues, speech
from tools.data.conversations import TextDialogue, Turn, in_split, read_dialogues
from tools.data.manifest import Clip
from tools.evaluate import conversations
from tools.training.recipes.open_dialogues import LABELS, labelled_texts
from tools.training.tasks.composition import PLAIN, ClipBank, Composition, clip_call, voiced

HEADER = "split,dialogue_id,turn,speaker,text,emotion,emotion4"


def write(folder, lines, header=HEADER):
    folder.mkdir(exist_ok=True)
    with gzip.open(folder / "utterances.csv.gz", "wt") as file:
        file.write("\n".join([header, *lines]) + "\n")
    return folder


def test_turns_come_in_order_with_speakers_and_labels(tmp_path):
    write(tmp_path, ["val,d1,1,Bob,Why?,mad,angry", 'val,d1,0,Ann,"No, no",scared,'])
    (dialogue,) = read_dialogues(tmp_path)
    assert [turn.speaker for turn in dialogue.turns] == ["Ann", "Bob"]
    assert dialogue.turns[0] == Turn("Ann", "No, no", "fear", "")
    assert dialogue.turns[1] == Turn("Bob", "Why?", "angry", "angry")
    assert in_split([dialogue], "train") == []


def test_what_another_set_holds_too_is_left_out(tmp_path):
    header = HEADER + ",in_meld,duplicate"
    lines = [
        "train,one,0,A,Hi,joy,happy,,",
        "train,one,1,B,Hi,joy,happy,test,",
        "train,two,0,A,Oh,joy,happy,,in_train",
        "train,two,1,B,Ah,joy,happy,,",
        "train,three,0,A,Oh,joy,happy,,in_train",
    ]
    found = read_dialogues(write(tmp_path, lines, header))
    assert [(d.name, [t.text for t in d.turns]) for d in found] == [("two", ["Ah"])]


@pytest.mark.parametrize(
    ("lines", "header", "complaint"),
    [
        (["d,0,A"], "dialogue_id,turn,speaker", "column 'text' is missing"),
        (["train,d,x,A,Hi,joy,happy"], HEADER, "line 2: the turn 'x' is no number"),
        (["train,,0,A,Hi,joy,happy"], HEADER, "line 2: no dialogue_id"),
        ([], HEADER, "holds no dialogues"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, lines, header, complaint):
    with pytest.raises(UserError, match=complaint):
        read_dialogues(write(tmp_path, lines, header))


def test_a_missing_or_cut_off_file_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"no utterances\.csv\.gz"):
        read_dialogues(tmp_path)
    path = write(tmp_path, ["train,d,0,A,Hi,joy,happy"]) / "utterances.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="damaged"):
        read_dialogues(tmp_path)


def test_the_published_parts_share_no_dialogue(shared_data):
    for name in ("meld", "emorynlp", "dailydialog"):
        found = read_dialogues(shared_data / "conversations" / name)
        parts = {split: {d.name for d in in_split(found, split)} for split in ("train", "val")}
        assert parts["train"]
        assert not parts["train"] & parts["val"]


def test_the_text_stage_draws_rare_classes_more_often():
    turns = [Turn("A", "x", "neutral", "neutral")] * 16 + [Turn("A", "y", "sad", "sad")] * 4
    data = labelled_texts([TextDialogue("meld", "d", "train", tuple(turns))])
    share = {t: data.weights[data.targets == t].sum() for t in set(data.targets)}
    assert share[LABELS.index("neutral")] == pytest.approx(2 * share[LABELS.index("sad")])


def bank(dimension=8):
    """Ann and Bob of one corpus, Cid of another; an embedding tells speaker and emotion."""
    clips = [
        Clip(f"{s}{e}{i}", s, corpus=c, emotion=e, emotion4=e if e in LABELS else "")
        for s, c in (("ann", "x"), ("bob", "x"), ("cid", "y"))
        for e in (*LABELS, "fearful")
        for i in range(2)
    ]
    embeddings = torch.zeros(2, len(clips), dimension)
    for i, clip in enumerate(clips):
        embeddings[:, i, 0] = "abc".index(clip.speaker[0])
        embeddings[:, i, 1] = (*LABELS, "fearful").index(clip.emotion)
    return ClipBank(clips, embeddings)


def talk(emotions="angry sad fear neutral happy sad"):
    turns = tuple(
        Turn("AB"[i % 2], "words", e, e if e in LABELS else "")
        for i, e in enumerate(emotions.split())
    )
    return TextDialogue("meld", "d", "train", turns)


def test_each_speaker_is_one_actor_who_expresses_what_the_text_says():
    dialogue = talk()
    composed = voiced(dialogue, torch.zeros(1, 6, 8), bank(), PLAIN, np.random.default_rng(0))
    actors = composed.audio[0, :, 0]
    assert len(set(actors[0::2].tolist())) == 1
    assert len(set(actors[1::2].tolist())) == 1
    assert actors[0] != actors[1]
    heard = [(*LABELS, "fearful")[int(i)] for i in composed.audio[0, :, 1]]
    assert heard == ["angry", "sad", "fearful", "neutral", "happy", "sad"]
    assert composed.has_audio.all()
    assert composed.has_text.all()
    assert composed.targets.sum(1).tolist() == [1, 1, 0, 1, 1, 1]


def test_a_mismatch_is_half_what_is_said_and_half_what_is_heard():
    how = dataclasses.replace(PLAIN, mismatched=1.0)
    composed = voiced(talk(), torch.zeros(1, 6, 8), bank(), how, np.random.default_rng(0))
    for n, turn in enumerate(talk().turns):
        if not turn.emotion4:
            assert not composed.targets[n].any()
            continue
        heard = int(composed.audio[0, n, 1])
        assert LABELS[heard] != turn.emotion4
        assert composed.targets[n, heard] == 0.5
        assert composed.targets[n, LABELS.index(turn.emotion4)] == 0.5


@pytest.mark.parametrize("missing", ["silent", "wordless"])
def test_a_dialogue_may_lack_a_modality(missing):
    how = dataclasses.replace(PLAIN, **{missing: 1.0})
    composed = voiced(talk(), torch.zeros(1, 6, 8), bank(), how, np.random.default_rng(0))
    assert composed.has_audio.any() == (missing == "wordless")
    assert composed.has_text.any() == (missing == "silent")
    assert composed.targets.any()


def test_a_call_of_clips_keeps_to_two_actors_of_a_corpus():
    for seed in range(20):
        call = clip_call(bank(), torch.zeros(3, 8), Composition(), np.random.default_rng(seed))
        actors = set(call.audio[0, :, 0].tolist())
        assert actors <= {0.0, 1.0} or actors == {2.0}
        for n in range(len(call.speaker)):
            emotion = int(call.audio[0, n, 1])
            wanted = [0.0] * 4
            if emotion < 4:
                wanted[emotion] = 1.0
            assert call.targets[n].tolist() == wanted


def evaluate(arguments):
    parser = argparse.ArgumentParser()
    conversations.add_arguments(parser)
    conversations.run(parser.parse_args(arguments))


def test_the_command_judges_the_part_that_is_not_for_training(random_bundle, tmp_path):
    dialogues(tmp_path / "meld")
    speech(tmp_path / "speech")
    common = ["--bundle", str(random_bundle), "--data", str(tmp_path / "meld")]
    found = {}
    for name, more in {
        "text": [],
        "alone": ["--no-context"],
        "noisy": ["--noise", "0.9"],
        "both": ["--clips", str(tmp_path / "speech")],
        "voices": ["--clips", str(tmp_path / "speech"), "--no-text"],
    }.items():
        evaluate([*common, *more, "--json", str(tmp_path / f"{name}.json")])
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert {part["n"] for part in found.values()} == {
        8
    }  # two dialogues of five, each with one other
    assert found["text"]["bundle"]["name"] == "random"
    assert set(found["text"]["groups"]["speaker"]) == {"A", "B"}
    assert 0 <= found["text"]["abstention"]["rejected"] <= 1
    assert_its_page_has_curves(tmp_path / "both.json")


def test_the_future_is_not_known(random_bundle):
    bundle = Bundle.load(random_bundle)
    long = talk("angry sad neutral happy sad")
    short = TextDialogue("meld", "d", "val", long.turns[:3])
    probabilities = [
        conversations.judged(bundle, [d], conversations.embedded(bundle, [d], None))[
            0
        ].probabilities
        for d in (long, short)
    ]
    np.testing.assert_allclose(probabilities[0][:3], probabilities[1], atol=1e-5)
