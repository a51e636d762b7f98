"""Systems of the zoo on features in the form of IEMOCAP's, wholly invented."""

from tests.tools.iemocap_corpus import write_features
from tests.tools.test_zoo import encoders
from tools.training.recipes.zoo_iemocap import IemocapSettings, protocol, read_corpus

QUICK = IemocapSettings(epochs=2, batch=16, context=3)


def test_leaves_each_session_out_and_adds_the_past(tmp_path):
    text = encoders().text
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), text, tmp_path / "cache")
    assert [dialogue.name[:5] for dialogue in dialogues] == ["Ses01", "Ses01", "Ses02", "Ses02"]
    labelled = sum(label >= 0 for dialogue in dialogues for label in dialogue.labels)
    result = protocol(
        "peng2021", dialogues, text, QUICK, tmp_path / "out", seed=0, random_split=True
    )
    assert result["session_left_out"]["n"] == result["with_the_past"]["n"] == labelled
    assert result["random_split"]["n"] == labelled // 5
    assert 0 <= result["session_left_out"]["ua"]["value"] <= 1


def test_systems_without_text_have_no_past(tmp_path):
    folder = write_features(tmp_path / "iemocap", (1, 2))
    dialogues = read_corpus(folder, (1, 2), None, tmp_path / "cache")
    result = protocol("gao2021", dialogues, None, QUICK, tmp_path / "out", seed=0)
    assert "with_the_past" not in result
