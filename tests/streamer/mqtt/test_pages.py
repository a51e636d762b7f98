"""The how-to pages match the program."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from streamer.mqtt.asyncapi import asyncapi
from streamer.settings import tree as config

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = sorted((REPOSITORY / "docs").glob("mqtt*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_can_be_read_and_settings_exist(page):
    for code in blocks(page, "python"):
        ast.parse(code)
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)
    keys = set(re.findall(r"\bmqtt\.(\w+)", re.sub(r"mqtt\.md", "", page.read_text())))
    assert keys <= set(config.Mqtt.model_fields)
    for link in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_topic_has_its_row():
    page = (REPOSITORY / "docs" / "mqtt.md").read_text()
    for channel in asyncapi()["channels"].values():
        address = re.sub(r"{(\w+)}", lambda name: name[1].upper(), channel["address"])
        known = address if address in page else re.sub(r"/[a-z_]+$", "/TYPE", address)
        assert f"| `{known}` |" in page


def test_the_readme_has_the_same_example():
    (code,) = blocks(REPOSITORY / "docs" / "mqtt-subscribers.md", "python")
    assert code in (REPOSITORY / "README.md").read_text()
