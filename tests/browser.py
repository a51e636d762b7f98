"""A real browser for pages: Debian's chromium, steered by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def browser_page(*, width: int = 1100, scheme: str = "light") -> Iterator:
    """A page of a browser without a network; what goes wrong in it fails the test."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda sent: _outside(sent.url, problems))
        try:
            yield page
        finally:
            chromium.close()
        assert problems == []


def _outside(url: str, problems: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        problems.append(f"request to {url}")


def serious_faults(page) -> list[str]:
    """What axe-core finds serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [
        f"{found['id']}: {found['nodes'][0]['html']}"
        for found in axe.run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


def url(path: Path) -> str:
    return path.resolve().as_uri()


def until(page, expression: str) -> None:
    """Wait until an expression is true; the page's policy forbids the browser to wait by itself."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")
