"""The page in a real Chromium, from a disk."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from presel.runs.run_record import RunRecord
from presel.tables import table_store
from tests.chromium import chromium, needs_a_browser
from tests.report.synthetic import HOSTILE_ANSWER, HOSTILE_KEY, TASKS

pytestmark = needs_a_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(reported: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> str:
    assert reported.report is not None
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(table_store.file(reported.report, "page.html"))
    return path.as_uri()


class Opened:
    """A page with everything it asked for and complained about."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(address)


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Opened]:
    page = Opened(browser, address, viewport={"width": 1280, "height": 900})
    yield page
    page.context.close()


def test_it_opens_from_a_disk_with_no_request_and_no_complaint(opened: Opened, address: str) -> None:
    for section in (
        "plan",
        "weights",
        "map",
        "coverage",
        "gallery",
        "copies",
        "clusters",
        "relevance",
        "instructions",
        "rejects",
        "model",
        "time",
        "changes",
        "reproduce",
    ):
        opened.page.locator(f"nav a[href='#{section}']").click()
        assert opened.page.locator(f"section#{section} h2").is_visible(), section
    opened.page.locator("#gallery .thumb").first.click()
    assert [url for url in opened.requests if not url.startswith("data:")] == [address]
    assert opened.complaints == []


def test_every_task_is_visible_in_table_figure_map_and_gallery(opened: Opened) -> None:
    for selector in ("#plan tbody th bdi", "#weights .task bdi", "#map .tasks bdi", "#gallery h3 bdi"):
        found = opened.page.locator(selector)
        assert sorted(found.all_inner_texts()) == sorted(TASKS), selector
        assert all(element.is_visible() for element in found.all()), selector


def test_every_picture_is_decoded(opened: Opened) -> None:
    opened.page.wait_for_function("[...document.images].every(image => image.complete)")
    sizes = opened.page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(sizes) > 60
    assert opened.page.locator(".cell:not(.none)").count() > 60
    assert min(sizes) > 0


def test_hostile_keys_and_answers_are_shown_as_words(opened: Opened) -> None:
    page = opened.page
    assert page.title() == "drawn, version 2"
    thumb = page.locator("#gallery .thumb", has=page.locator(f"img[alt='{HOSTILE_KEY}']"))
    thumb.click()
    words = page.locator("#box .words").inner_text()
    assert HOSTILE_KEY in words
    assert HOSTILE_ANSWER in words
    assert page.locator("script").count() == 1
    assert page.locator("img[src='x']").count() == 0


def test_a_script_that_slipped_in_would_not_run(opened: Opened) -> None:
    opened.page.evaluate("""() => {
        const script = document.createElement("script"); script.textContent = "document.title = 'owned'";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=data:, onerror=\\"document.title='owned'\\">");
    }""")
    opened.page.wait_for_timeout(100)
    assert opened.page.title() == "drawn, version 2"


def test_the_plan_sorts_by_a_clicked_heading_both_ways(opened: Opened) -> None:
    page, weights = opened.page, "[...document.querySelectorAll('#plan tbody tr')].map(row => +row.cells[5].dataset.v)"
    heading = page.locator("#plan thead th", has_text="Weight")
    heading.get_by_role("button").click()
    assert page.evaluate(weights) == sorted(page.evaluate(weights), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert page.evaluate(weights) == sorted(page.evaluate(weights))


def test_the_gallery_shows_one_task_when_asked(opened: Opened) -> None:
    opened.page.locator("#gallery .chips button", has_text="photo").click()
    assert opened.page.locator("#gallery h3:visible bdi").all_inner_texts() == ["photo"]
    opened.page.locator("#gallery .chips button", has_text="all").click()
    assert opened.page.locator("#gallery h3:visible").count() == len(TASKS)


@pytest.fixture
def atlas(opened: Opened) -> Any:
    """The page with its map drawn and focused."""
    opened.page.wait_for_selector("#map canvas[data-ready]")
    opened.page.locator("#map canvas").scroll_into_view_if_needed()
    opened.page.locator("#map canvas").focus()
    return opened.page


def test_the_map_singles_out_the_chosen_tasks(atlas: Any) -> None:
    button, alone = atlas.locator("#map .tasks button", has_text="ocr"), "document.getElementById('map').presel.alone()"
    button.click()
    assert atlas.evaluate(alone) == [TASKS.index("ocr")]
    atlas.locator("#map canvas").focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        atlas.keyboard.press(key)
        assert "· ocr" in f"· {atlas.locator('#map .tip .meta').inner_text()}"
    button.click()
    assert atlas.evaluate(alone) == []


def test_a_dot_says_under_the_mouse_what_it_is_and_why_it_was_picked_or_not(atlas: Any) -> None:
    found = atlas.evaluate("(({data, at}) => ({i: data.key.indexOf('ocr/0001.png'), at: at(data.key.indexOf('ocr/0001.png'))}))"
                           "(document.getElementById('map').presel)")  # fmt: skip
    box = atlas.locator("#map canvas").bounding_box()
    atlas.mouse.move(box["x"] + found["at"][0], box["y"] + found["at"][1])
    words = atlas.locator("#map .tip").inner_text()
    assert "ocr" in words
    assert "cluster" in words
    assert any(verdict in words for verdict in ("picked", "reference", "instructed"))


def test_a_pinned_dot_stands_beside_its_nearest_picked_and_skipped_images_and_they_can_be_pinned(atlas: Any) -> None:
    atlas.keyboard.press("ArrowRight")
    atlas.keyboard.press("Enter")
    assert atlas.locator("#map .pinned .card").count() == 3
    assert atlas.locator("#map .pinned .cosine").all_inner_texts() != []
    other = atlas.locator("#map .pinned .card").nth(1)
    key = other.locator(".key").inner_text()
    other.get_by_role("button", name="pin this one").click()
    assert atlas.locator("#map .pinned .card").first.locator(".key").inner_text() == key
    atlas.locator("#map canvas").focus()
    atlas.keyboard.press("Escape")
    assert not atlas.locator("#map .pinned").is_visible()


def test_a_region_is_listed_by_lasso_and_by_keyboard(atlas: Any) -> None:
    box = atlas.locator("#map canvas").bounding_box()
    atlas.locator("#map [data-do=lasso]").click()
    corners = [(2, 2), (box["width"] - 2, 2), (box["width"] - 2, box["height"] - 2), (2, box["height"] - 2)]
    for n, (x, y) in enumerate(corners):
        atlas.mouse.move(box["x"] + x, box["y"] + y)
        if n == 0:
            atlas.mouse.down()
    atlas.mouse.up()
    assert f"{60 * len(TASKS)} samples in this region" in atlas.locator("#map .region").inner_text()
    atlas.locator("#map .region .go").click()
    atlas.locator("#map canvas").focus()
    for key in ("ArrowRight", "l", "ArrowRight", "ArrowDown", "L"):
        atlas.keyboard.press(key)
    assert "samples in this region" in atlas.locator("#map .region").inner_text()


def test_the_map_zooms_and_takes_every_colouring(atlas: Any) -> None:
    place = "document.getElementById('map').presel.at(0).join()"
    before = atlas.evaluate(place)
    atlas.keyboard.press("+")
    assert atlas.evaluate(place) != before
    atlas.keyboard.press("0")
    assert atlas.evaluate(place) == before
    for colouring in ("cluster", "origin", "centrality", "irs", "task"):
        atlas.locator("#map select").select_option(colouring)
        assert atlas.locator("#map .ramp").count() == 1


def test_instructions_are_searched_and_filtered(opened: Opened) -> None:
    from playwright.sync_api import expect

    page, items = opened.page, opened.page.locator("#instructions .found li")
    page.wait_for_selector("#instructions[data-ready]")
    assert items.count() == 50
    page.locator("#instructions [name=search]").fill("document.title owned")
    expect(items).to_have_count(3)  # its own, and two refused answers of the same words
    assert all(HOSTILE_ANSWER in words for words in items.all_inner_texts())
    page.locator("#instructions [name=search]").fill("")
    page.locator("#instructions [name=state]").select_option(label="rejected: refused")
    expect(page.locator("#instructions .count")).to_have_text(re.compile("^2 of "))
    assert "rejected: refused" in items.first.inner_text()
    assert page.title() == "drawn, version 2"


def test_every_reason_leads_to_its_examples(opened: Opened) -> None:
    opened.page.locator("#rejects table a").first.click()
    assert opened.page.locator("#reject-1 li").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper_in_both_schemes(browser: Any, address: str, scheme: str) -> None:
    page = Opened(browser, address, color_scheme=scheme)
    style = "element => [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor]"
    for selector in ("h1", ".lede", ".intro", "figcaption", "#plan tbody td", ".meta"):
        colour, paper = page.page.locator(selector).first.evaluate(style)
        assert _contrast(colour, paper) >= 4.5, selector  # WCAG 2.2, level AA
    page.context.close()


def test_a_phone_need_not_scroll_sideways(browser: Any, address: str) -> None:
    page = Opened(browser, address, viewport={"width": 390, "height": 844})
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def _contrast(one: str, other: str) -> float:
    """WCAG contrast of two `rgb(r, g, b)`."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
