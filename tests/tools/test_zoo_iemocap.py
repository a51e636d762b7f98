"""Systems of the zoo on features in the form of IEMOCAP's, wholly invented."""

import pytest
import torch

from streamer_models.contract import UtteranceEmbedding
from streamer_models.heads.dimensions import concordance
from tests.tools.iemocap_corpus import write_features
from tests.tools.test_zoo import encoders
from tools.training.recipes import zoo_iemocap
from tools.training.recipes.zoo_iemocap import IemocapSettings, protocol
from tools.training.tasks.zoo_dialogues import Dialogue
from tools.training.tasks.zoo_iemocap_data import read_corpus
from tools.training.tasks.zoo_stages import staged

QUICK = IemocapSettings(epochs=2, batch=16, context=3)


def test_leaves_each_session_out_and_adds_the_past(tmp_path):
    text = encoders().text
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), text, tmp_path / "cache")
    assert [dialogue.name[:5] for dialogue in dialogues] == ["Ses01", "Ses01", "Ses02", "Ses02"]
    count = sum(label >= 0 for dialogue in dialogues for label in dialogue.labels)
    result = protocol(
        "krishna2021", dialogues, text, QUICK, tmp_path / "out", seed=0, random_split=True
    )
    assert result["session_left_out"]["n"] == result["with_the_past"]["n"] == count
    assert result["random_split"]["n"] == count // 5
    assert 0 <= result["session_left_out"]["ua"]["value"] <= 1
    sessions = result["session_left_out"]["sessions"]
    assert sum(each["n"] for each in sessions.values()) == count


def test_an_interrupted_run_goes_on_with_the_folds_that_were_judged(tmp_path, monkeypatch):
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), None, tmp_path / "cache")
    whole = protocol("chopra2021", dialogues, None, QUICK, tmp_path / "whole", seed=0)
    really, judged = zoo_iemocap._judge, []

    def stopped(*arguments):
        if judged:
            raise KeyboardInterrupt
        judged.append(arguments[5].name)
        return really(*arguments)

    monkeypatch.setattr(zoo_iemocap, "_judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        protocol("chopra2021", dialogues, None, QUICK, tmp_path / "cut", seed=0)
    judged.clear()
    again = protocol("chopra2021", dialogues, None, QUICK, tmp_path / "cut", seed=0)
    assert judged == ["Ses02"]
    assert again | {"cpu_minutes": 0} == whole | {"cpu_minutes": 0}


def test_the_system_of_dialogues_is_judged_in_three_forms(tmp_path):
    text = encoders().text
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), text, tmp_path / "cache")
    result = protocol("dutta2022", dialogues, text, QUICK, tmp_path / "out", seed=0)
    count = sum(label >= 0 for dialogue in dialogues for label in dialogue.labels)
    for form in ("session_left_out", "with_the_past", "whole_conversation"):
        assert result[form]["n"] == count


def test_dimensions_are_learnt_from_the_ratings_and_pass_through_the_stages(tmp_path):
    text = encoders().text
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), text, tmp_path / "cache")
    assert dialogues[0].ratings[0] == (pytest.approx(0.75), pytest.approx(-0.5))
    result = protocol("atmaja2020", dialogues, text, QUICK, tmp_path / "out", seed=0)
    for name in ("dimensions", "dimensions_after_stages"):
        assert result[name]["n"] == sum(len(dialogue.said) for dialogue in dialogues)
        assert -1 <= result[name]["arousal"]["value"] <= 1


def test_stages_add_what_was_said_before():
    generator = torch.Generator().manual_seed(0)

    def dialogue(name):
        values = torch.randn(60, 2, generator=generator)
        said = [UtteranceEmbedding(0, audio=row, text=row) for row in values]
        ratings = values + 0.7 * torch.cat([torch.zeros(1, 2), values[:-1]])
        return Dialogue(name, said, [0] * 60, [tuple(row) for row in ratings.tolist()])

    def estimate(said):
        return torch.stack([each.audio if each.text is None else each.text for each in said])

    held = dialogue("held")
    made = staged(estimate, [dialogue("a"), dialogue("b")], [held])
    truth = torch.tensor(held.ratings)
    assert concordance(made, truth) > 0.95 > concordance(estimate(held.said), truth)


def test_systems_without_text_have_no_past(tmp_path):
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), None, tmp_path / "cache")
    result = protocol("chopra2021", dialogues, None, QUICK, tmp_path / "out", seed=0)
    assert "with_the_past" not in result
