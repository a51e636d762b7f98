"""docs/python.md: its examples run."""

import asyncio
import re

import pytest

from streamer.settings import shipped
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def names(random_bundle, monkeypatch):
    """What the examples have defined so far."""
    monkeypatch.setenv("STREAMER_EMOTION_BUNDLE", str(random_bundle))
    monkeypatch.setenv("STREAMER_ASR_BACKEND", "none")
    monkeypatch.chdir(shipped.sample_call().parent)
    return {"__name__": "example"}


def test_the_first_example_prints_utterances(names, capsys):
    exec(compile(EXAMPLES[0], "docs/python.md", "exec"), names)  # noqa: S102 - our own page
    assert re.search(
        r"^ +\d+\.\d  (agent|customer): \w+ \d+%$", capsys.readouterr().out, re.MULTILINE
    )


def test_models_are_shared_among_conversations(names):
    code = EXAMPLES[0].replace("asyncio.run(main())", "") + EXAMPLES[1]
    exec(compile(code, "docs/python.md", "exec"), names)  # noqa: S102
    first, second = asyncio.run(names["all_of"](["call.ogg", "call.ogg"]))
    assert first.result().utterances == second.result().utterances


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_is_valid_python(code):
    compile(code, "docs/python.md", "exec")
