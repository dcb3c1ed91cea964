"""The page in Chromium: at the width of a phone and of a desktop, by keyboard, and with strangers' texts.

pytest tests/page/test_browser.py -m browser
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page.conftest import HOSTILE
from support.served import Served, Start

pytestmark = [pytest.mark.browser, pytest.mark.serve]
TEXT = "You are a winner! Claim your $1000 prize"
SIZES = pytest.mark.parametrize(
    ("width", "height", "scheme"), [(390, 844, "light"), (1280, 900, "dark")], ids=["phone", "desktop"]
)
Visit = Callable[..., Any]


def classify(page: Any, text: str) -> None:
    """Type a message and send it, by the keyboard alone."""
    page.locator("#message textarea").fill(text)
    page.locator("#message textarea").press("Shift+Enter")
    page.locator("#reasons table").wait_for()


def fits(page: Any, width: int) -> bool:
    """Tell whether nothing sticks out at the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)


@SIZES
def test_everything(
    visit: Visit,
    served: Served,
    tiny_run: Callable[[str], Path],
    tmp_path: Path,
    axe: str,
    width: int,
    height: int,
    scheme: str,
) -> None:
    """A message, a file, the threshold, the run."""
    splits = json.loads((tiny_run("sample") / "metrics.json").read_text())["splits"]
    page = visit(served, width, height, color_scheme=scheme, accept_downloads=True)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    classify(page, TEXT)
    assert page.locator("#found strong").inner_text() in ("ham", "spam")
    assert "Completeness: the weights sum to" in page.locator("#reasons").inner_text()
    marked = [word.inner_text() for word in page.locator("#reasons mark").all()]
    assert marked
    assert set(marked) <= set(TEXT.split())
    assert page.locator("#reasons .hs-message").inner_text() == TEXT
    assert fits(page, width)

    page.get_by_role("tab", name="File").click()
    (tmp_path / "some.csv").write_text("n,text\n" + "".join(f"{n},message {n}\n" for n in range(500)))
    page.locator("input[type=file]").set_input_files(tmp_path / "some.csv")
    page.get_by_text("some.csv").wait_for()
    page.get_by_role("button", name="Score the file").click()
    page.locator("#download").wait_for()
    assert "500 messages scored" in page.locator("#scored").inner_text()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "some-scored.csv"
    assert Path(download.value.path()).read_text().count("\n") == 501
    assert fits(page, width)

    page.get_by_role("tab", name="Threshold").click()
    page.locator("#counts table").wait_for()
    assert [found == of for found, of in counts_at(page, "Home")] == [True, True]
    assert [found < of for found, of in counts_at(page, "End")] == [True, True]
    caught, blocked = counts_at(page, "0.5")
    assert caught[1] + blocked[1] == splits["validation"]["messages"]
    assert (caught[0], blocked[0]) == (
        splits["validation"]["confusion"][1][1],
        splits["validation"]["confusion"][0][1],
    )
    assert fits(page, width)

    page.get_by_role("tab", name="Run").click()
    assert page.locator("img[alt^='The loss']").evaluate("image => image.complete && image.naturalWidth > 100")
    figures = page.get_by_role("table", name="The run's figures").inner_text()
    assert f"{splits['test']['accuracy']:.2%}" in figures
    assert "true spam" in page.get_by_role("table", name="Confusion matrix").inner_text()
    assert fits(page, width)
    check_accessible(page, axe)


def counts_at(page: Any, place: str) -> list[tuple[int, int]]:
    """What a threshold does that a key sets, or a number: how many of how many are caught, and are blocked."""
    before = page.locator("#counts caption").inner_text()
    if place in ("Home", "End"):
        page.get_by_role("slider").press(place)
    else:
        page.get_by_role("spinbutton").fill(place)
        page.get_by_role("spinbutton").press("Enter")
    page.wait_for_function("before => document.querySelector('#counts caption').innerText != before", arg=before)
    found = re.findall(r"([\d,]+) of ([\d,]+)\s\(", page.locator("#counts").inner_text())
    return [(int(one.replace(",", "")), int(two.replace(",", ""))) for one, two in found]


def check_accessible(page: Any, axe: str) -> None:
    """Ask axe-core on every tab."""
    for name in ("Message", "File", "Threshold", "Run"):
        page.get_by_role("tab", name=name).click()
        page.wait_for_timeout(700)
        page.evaluate(axe)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []


def test_by_keyboard_alone(visit: Visit, served: Served) -> None:
    """The button, the examples and the tabs are reached, and what has the focus is seen."""
    page = visit(served)
    page.locator("#message textarea").fill(TEXT)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Classify"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator("#reasons table").wait_for()
    example = page.get_by_role("button", name="on the train")
    for _ in range(30):
        page.keyboard.press("Tab")
        if example.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('textarea').value.includes('on the train')")
    page.get_by_role("tab", name="Message").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Score the file").wait_for()


def test_strangers_texts_are_shown(
    visit: Visit, start: Start, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """In labels, in a message, in the model's name and in a file's: as they are."""
    page = visit(start(make_model(*HOSTILE), "--name", "</script><img src=x onerror=alert(2)>"))
    assert page.locator("h1").inner_text() == "</script><img src=x onerror=alert(2)>"
    message = f"{' '.join(HOSTILE)}\n<script>alert(3)</script> &amp;"
    classify(page, message)
    assert page.locator("#reasons .hs-message").inner_text() == message
    assert {row.inner_text() for row in page.locator("#found th").all()} == set(HOSTILE)
    assert page.locator("#found strong").inner_text() in HOSTILE
    page.get_by_role("tab", name="File").click()
    for name, content in (("<img src=x onerror=alert(4)>${1+1}.csv", "a,b\n1,2\n"), ("<b>&{{x}}.csv", "text\nx\n")):
        (tmp_path / name).write_text(content)
        page.locator("input[type=file]").set_input_files(tmp_path / name)
        page.get_by_role("button", name="Score the file").click()
        page.locator("#scored p").wait_for()
        page.get_by_label("Remove").or_(page.get_by_label("Clear")).first.click()
        page.locator("input[type=file]").wait_for(state="attached")
    page.get_by_role("tab", name="Threshold").click()
    page.get_by_text("The run's validation split is not at hand.").wait_for()
    assert page.locator("b, script[src], img:not([src^='data:']), i").filter(has_text="bold").count() == 0
    assert page.locator("img[src=x]").count() == 0


def test_a_key_and_a_calibrated_model(visit: Visit, start: Start, make_model: Callable[..., Path]) -> None:
    """The browser sends the password; the decision is shown with its promise."""
    folder = make_model("ham", "spam")
    point = {"positive": "spam", "temperature": 1.5, "threshold": 0.7, "unsure": -1.0, "budget": 0.01}
    point |= {"confidence": 0.95, "groups": 500, "stopped": 1, "bound": 0.0094, "caught": 0.9}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"operating_point": point}))
    page = visit(
        start(folder, HF_SPAM_API_KEY="secret-1"), http_credentials={"username": "me", "password": "secret-1"}
    )
    classify(page, TEXT)
    assert page.locator(".hs-decision").inner_text().split()[-1] in ("allow", "unsure", "block")
    assert "At most 1.00% of messages other than spam are blocked" in page.locator("#found").inner_text()
