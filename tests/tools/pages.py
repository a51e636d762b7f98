"""What every evaluation's page must show."""

from tools.command_line import dispatch
from tools.evaluate.__main__ import COMMANDS

CURVES = ("confusion matrix", "reliability", "risk by coverage")


def assert_its_page_has_curves(result):
    """The report draws the JSON of an evaluation, utterance by utterance."""
    page = result.with_suffix(".html")
    assert (
        dispatch("tools.evaluate", "", COMMANDS, ["report", str(result), "--out", str(page)]) == 0
    )
    html = page.read_text()
    for curve in CURVES:
        assert curve in html
