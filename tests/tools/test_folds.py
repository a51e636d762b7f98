"""Folds keep speakers and dialogues whole; embeddings of a fold come from an encoder trained without it."""

import numpy as np
import torch

from tools.data.conversations import TextDialogue, Turn, read_dialogues
from tools.data.manifest import Clip, read_manifest
from tools.training.folds import dialogue_folds, embed_out_of_fold, learnt_from, speaker_folds


def test_a_speaker_is_in_one_fold_and_each_corpus_and_sex_in_all():
    clips = [
        Clip(f"{speaker}{take}", speaker, corpus=speaker[0], gender=sex)
        for take in range(3)
        for speaker, sex in (
            ("a1", "f"),
            ("a2", "m"),
            ("a3", "f"),
            ("a4", "m"),
            ("b1", "f"),
            ("b2", "f"),
        )
    ]
    folds = speaker_folds(clips, 2)
    of_speaker = {}
    for clip, fold in zip(clips, folds, strict=True):
        of_speaker.setdefault(clip.speaker, set()).add(int(fold))
    assert all(len(found) == 1 for found in of_speaker.values())
    for group in (("a1", "a3"), ("a2", "a4"), ("b1", "b2")):
        assert set.union(*(of_speaker[speaker] for speaker in group)) == {0, 1}


def test_the_order_of_the_manifest_does_not_matter(shared_data):
    clips = read_manifest(shared_data / "speech")
    backwards = clips[::-1]
    folds = speaker_folds(clips, 2)
    assert speaker_folds(backwards, 2).tolist() == folds[::-1].tolist()
    speakers = {corpus: set() for corpus in {clip.corpus for clip in clips if clip.is_speech}}
    for clip in clips:
        speakers.setdefault(clip.corpus, set()).add(clip.speaker)
    for corpus, people in speakers.items():
        found = {f for f, clip in zip(folds, clips, strict=True) if clip.corpus == corpus}
        assert len(found) == min(2, len(people))


def test_each_set_of_dialogues_is_spread_over_the_folds():
    names = [("meld", "1"), ("meld", "2"), ("emorynlp", "1"), ("meld", "3"), ("emorynlp", "2")]
    turn = (Turn("A", "x", "sad", "sad"),)
    folds = dialogue_folds([TextDialogue(c, n, "train", turn) for c, n in names], 2)
    assert folds.tolist() == [0, 1, 0, 0, 1]


def test_no_dialogue_is_in_two_folds(shared_data):
    found = read_dialogues(shared_data / "conversations" / "meld")
    folds = dialogue_folds(found, 2)
    parts = [{d.name for d, own in zip(found, folds, strict=True) if own == f} for f in (0, 1)]
    assert not parts[0] & parts[1]


def test_embeds_each_fold_by_the_encoder_trained_without_it():
    torch.manual_seed(0)
    spaces = [torch.linalg.qr(torch.randn(4, 4))[0] for _ in range(3)]
    truth = torch.randn(2, 60, 4)
    folds = np.arange(60) % 2
    asked = []

    def look(encoder, version, rows):
        asked.append((encoder, version, *sorted(set(folds[rows].tolist()))))
        return truth[version, rows] @ spaces[encoder]

    rows = embed_out_of_fold(2, [0, 1], look, folds, 2)
    torch.testing.assert_close(rows, truth @ spaces[2], atol=0.15, rtol=0.1)
    # The noisy version is only ever embedded by whom it is new to; the true one also to align the spaces.
    assert [place for place in asked if place[1] == 1] == [(0, 1, 0), (1, 1, 1)]


def test_leaves_out_folds_that_every_encoder_was_trained_on():
    truth = torch.randn(2, 90, 4)
    folds = np.array([0, 1, 2] * 30)
    rows = embed_out_of_fold(1, [1, 1], lambda _, version, rows: truth[version, rows], folds, 2)
    kept = learnt_from(folds, 2)
    assert kept[:6].tolist() == [0, 1, 3, 4, 6, 7]
    torch.testing.assert_close(rows, truth[:, kept], atol=0.3, rtol=0.1)


def test_uses_the_final_encoder_without_folds():
    truth = torch.randn(2, 5, 4)
    rows = embed_out_of_fold(
        0, [], lambda _, version, rows: truth[version, rows], np.zeros(5, int), 2
    )
    assert torch.equal(rows, truth)
