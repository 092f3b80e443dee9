"""The page that `--report FILE.html` writes, in a browser; and `--emit dot`."""

import re
from pathlib import Path

import big_model
import pytest
import torch
from browser import CHROMIUM, DRIVER, open_browser
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from torch import nn

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here"
)


class Net(nn.Module):
    """Two convs with one activation, a cat and a sigmoid."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 1)
        self.head = nn.ModuleDict({"box": nn.Conv2d(4, 4, 1), "cls": nn.Conv2d(4, 4, 1)})
        self.act = nn.SiLU()

    def forward(self, x):
        x = self.act(self.act(self.stem(x)))
        return torch.sigmoid(torch.cat((self.head["box"](x), self.head["cls"](x)), 1))


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


class Page:
    """A page as its user sees it."""

    def __init__(self, driver, path: Path) -> None:
        self.driver = driver
        driver.get(path.as_uri())

    def wait(self, condition):
        return WebDriverWait(self.driver, 10).until(lambda _: condition())

    def find(self, selector: str):
        return self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector))[0]

    def texts(self, selector: str) -> list[str]:
        return [e.text for e in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def legend(self) -> dict[str, int]:
        pairs = [text.rsplit(" ", 1) for text in self.texts("#legend button")]
        return {name: int(count) for name, count in pairs}

    def node(self, name: str):
        """The row of the run whose text begins so."""
        rows = self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, "#run .row"))
        return next(row for row in rows if row.text.replace("\n", " ").startswith(name))

    def errors(self) -> list[str]:
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]

    def details(self) -> str:
        return self.find("#details").text

    def search(self, text: str) -> None:
        field = self.find("#search")
        field.clear()
        field.send_keys(text)

    def colour_at(self, x: int, y: int) -> tuple[int, ...]:
        script = "return [...document.getElementById('gutter').getContext('2d')"
        script += ".getImageData(arguments[0], arguments[1], 1, 1).data]"
        return tuple(self.driver.execute_script(script, x, y))


@needs_chromium
def test_page_of_a_fix(tool, browser):
    path = tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))
    report = tool.folder / "page.html"
    tool.fix(path, "--report", report)
    page = Page(browser, report)
    assert page.texts("#tree .row") and page.texts("#run .row")
    before = {"plain": 0, "anchor": 3, "quantised": 2, "out_nop": 0, "tail": 2, "crossing": 2}
    assert page.legend() == before

    # The whole, without a choice: what was found and what was done.
    assert "computes the same bits" in page.details()
    assert "R4 called once: act (SiLU) is called 2 times by <root> (Net)" in page.details()
    assert "Changes (" in page.details()

    # A node: what it is, where it stands, its neighbours, what is wrong with it.
    page.node("_convolution head.box").click()
    page.wait(lambda: "anchor" in page.details())
    details = page.details()
    line = next(
        i
        for i, text in enumerate(Path(__file__).read_text().splitlines(), 1)
        if "cat((self" in text
    )
    assert "instance\nhead.box" in details and f"{__file__}:{line}" in details
    assert "leaves the quantised region without an out_nop" in details
    assert "Reads (1)\nsilu · act" in details and "Read by (1)\ncat · <root>" in details
    assert "chosen" in page.node("_convolution head.box").get_attribute("class")
    assert page.texts("#tree .row.chosen")[0].startswith("box")
    # A neighbour is a link.
    next(
        e for e in browser.find_elements(By.CSS_SELECTOR, "#details .link") if "cat" in e.text
    ).click()
    page.wait(lambda: page.details().startswith("cat"))
    assert "region\ntail" in page.details()

    # Arrow keys walk the run.
    page.find("#run").send_keys(Keys.ARROW_DOWN)
    page.wait(lambda: page.details().startswith("sigmoid"))
    assert "returned\nby the model" in page.details()

    # An instance from the tree, with the finding of which it is the cause.
    page.find("#tree [data-instance='act']").click()
    page.wait(lambda: page.details().startswith("act"))
    assert "calls\n2" in page.details() and "R4 called once" in page.details()

    # The fixed model.
    page.find("#after").click()
    page.wait(lambda: page.legend()["out_nop"] == 2)
    assert page.legend() == {**before, "out_nop": 2, "crossing": 0}
    page.search("out_nop")
    page.wait(lambda: page.find("#matches").text == "2 found")
    assert len(page.texts("#run .row.match")) == 2
    page.find("#search").send_keys(Keys.ENTER)
    page.wait(lambda: page.details().startswith("out_nop"))
    assert "is put in behind the value of head.box" in page.details()

    # The legend finds a region.
    page.search(Keys.BACKSPACE)
    next(
        e for e in browser.find_elements(By.CSS_SELECTOR, "#legend button") if "tail" in e.text
    ).click()
    page.wait(lambda: page.find("#matches").text == "2 found")

    assert page.errors() == []
    names = browser.execute_script("return performance.getEntriesByType('resource').length")
    assert names == 0, "nothing is loaded"


@needs_chromium
def test_page_draws_regions_in_their_colours(tool, browser):
    path = tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))
    report = tool.folder / "page.html"
    tool.fix(path, "--report", report)
    page = Page(browser, report)
    # The middle of the first row's dot, in the first lane: an anchor.
    page.wait(lambda: page.colour_at(8, 11)[3] == 255)
    assert page.colour_at(8, 11) == (0x3B, 0x6F, 0xD4, 255)
    # A value that crosses without an out_nop has a red ring; in the fixed model none has.
    row = "return [...document.querySelectorAll('#run .row')].findIndex("
    row += "r => r.textContent.startsWith('_convolutionhead.box'))"
    index = browser.execute_script(row)

    def has_red() -> bool:
        pixels = [page.colour_at(x, index * 22 + 11) for x in range(40)]
        return any(red > 180 and green < 120 and blue < 120 for red, green, blue, _ in pixels)

    assert has_red()
    page.find("#after").click()
    page.wait(lambda: page.legend()["out_nop"] == 2)
    page.wait(lambda: not has_red())


@needs_chromium
def test_page_of_a_check_and_of_several_models(tool, browser):
    path = tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))
    other = tool.trace(nn.Conv2d(4, 4, 1).eval(), (torch.randn(1, 4, 8, 8),), "other.pt")
    report = tool.folder / "page.html"
    tool.run("--check", path, other, "--report", report, expect=1)
    page = Page(browser, report)
    assert page.find("#before").is_enabled() and not page.find("#after").is_enabled()
    assert page.legend()["anchor"] == 3
    page.find("#model option:nth-child(2)").click()
    page.wait(lambda: page.legend()["anchor"] == 1)
    assert page.details().startswith(str(other))


@needs_chromium
def test_page_with_10_000_nodes_draws_what_is_in_sight(tool, browser):
    # What makes it fast; bench/page.py measures.
    path, report = tool.folder / "big.mlir", tool.folder / "page.html"
    big_model.write(path, 2500)
    tool.run("--check", path, "--report", report, "-q", expect=1)
    page = Page(browser, report)
    assert page.legend()["anchor"] == 2500
    assert 0 < len(page.texts("#run .row")) < 100 and 0 < len(page.texts("#tree .row")) < 100
    page.search("b2400.conv")
    page.wait(lambda: page.find("#matches").text == "2 found")
    page.node("conv2d b2400.conv").click()
    page.wait(lambda: "Read by (1)\nbatch_norm · b2400.conv" in page.details())


@needs_chromium
def test_names_in_a_page_are_text(tool, browser):
    folder = tool.folder / "<img src=x onerror=alert(1)><"
    folder.mkdir()
    path = tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))
    evil = folder / "script><!--.pt"
    evil.write_bytes(path.read_bytes())
    report = tool.folder / "page.html"
    tool.run("--check", evil, "--report", report, expect=1)
    page = Page(browser, report)
    assert page.details().startswith(str(evil))
    assert page.errors() == []


def test_page_of_a_model_that_cannot_be_read(tool):
    path = tool.folder / "model.pt"
    path.write_bytes(b"no model")
    report = tool.folder / "page.html"
    tool.run("--check", path, "--report", report, expect=2)
    assert "no readable zip" in report.read_text() or "zip" in report.read_text()


# Graphviz -----------------------------------------------------------------------------------------


def test_emit_dot(tool):
    path = tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))
    text = tool.run(path, "--emit", "dot", "-q").stdout
    assert text.startswith('digraph "model.pt" {\n') and text.endswith("}\n")
    assert text.count("{") == text.count("}")
    labels = dict(re.findall(r'(n\d+) \[label="([^"]*)"', text))
    assert sorted(labels.values()).count("out_nop") == 2
    edges = re.findall(r"^  (n\d+) -> (n\d+)", text, re.MULTILINE)
    named = {(labels[a], labels[b]) for a, b in edges}
    assert {("_convolution", "silu"), ("out_nop", "cat"), ("cat", "sigmoid")} <= named
    assert 'label="head.box (Conv2d)"' in text
    # The tail and the nops have colours of their own.
    assert re.search(r'label="cat", fillcolor="#eda64a"', text)
    assert re.search(r'label="out_nop", fillcolor="#2f9e62"', text)

    # The model as it is: crossing values in red.
    before = tool.run(path, "--emit", "dot", "-q", "--pass-pipeline", "builtin.module()").stdout
    assert before.count('color="#d03b3b", penwidth=2]') == 4
    assert "out_nop" not in before
    tool.run(path, "-o", tool.folder / "model.dot", "-q")
    assert (tool.folder / "model.dot").read_text() == text
