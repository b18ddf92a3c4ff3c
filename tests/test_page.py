"""The page of `flambeau explain`: whole, safe, and alive in a real browser."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import flambeau as torch

ROOT = Path(__file__).resolve().parent.parent
EMPTY = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = "</script><script>alert(1)</script>&\"'<b>.py"
PROGRAM = '''
import flambeau as torch
x, w = torch.randn(8, 16), torch.randn(16, 4, requires_grad=True)
def step(name="</pre><script>window.hurt = 1</script>"):
    y = torch.relu(x @ w); loss = (y.exp().sum(1) / 3).mean()  # <img src=x onerror="window.hurt=1">
    w.grad = None
    loss.backward()
    with torch.no_grad():
        w.sub_(0.1 * w.grad)
    return loss.item()
'''
# Put into the page: it notes errors, clicks about, and says what it found.
CLICKS = """
<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message)));
addEventListener("load", () => {
  const all = what => [...document.querySelectorAll(what)];
  const seen = () => all("section.view:not([hidden])").map(s => s.dataset.view);
  const found = {errors, first: seen(), hurt: window.hurt || 0, views: {}};
  all(".made")[0].click();
  found.lines = all(".made.on").length;
  found.kernels = all(".kernel.on").map(k => k.dataset.kernel);
  found.wanted = all(".made")[0].dataset.kernels.split(" ");
  for (const button of all(".tabs button")) {
    button.click();
    found.views[button.dataset.view] = seen();
  }
  found.calls = all('[data-view="fuse"] [data-call].on').length;
  all(".kernel")[0].querySelector("summary").click();
  found.open = all(".kernel")[0].open;
  found.only = all(".kernel.on").length;
  found.boxes = all("svg.plan .box").length;
  found.wide = document.documentElement.scrollWidth <= innerWidth;
  const result = document.createElement("div");
  result.id = "found";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
</script>
"""


class Outline(HTMLParser):
    """Checks that tags are closed in order, and keeps what a browser would act upon."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.links, self.handlers, self.words = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "srcset", "action")]
        self.handlers += [k for k, _ in attributes if k.startswith("on")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a program whose name and lines are hostile."""
    path = tmp_path_factory.mktemp("page") / HOSTILE.replace("/", "∕")
    path.write_text(PROGRAM)
    scope = {}
    exec(compile(PROGRAM, str(path), "exec"), scope)
    return torch.explain(scope["step"]).html()


def test_it_is_whole_and_needs_nothing_else(page):
    outline = Outline()
    outline.feed(page)
    assert not outline.open and not outline.links
    assert "@import" not in page and "url(" not in page and page.startswith("<!DOCTYPE html>")


def test_what_programs_say_stays_text(page):
    outline = Outline()
    outline.feed(page)
    assert outline.tags.count("script") == 1 and "img" not in outline.tags
    assert "b" not in outline.tags and not outline.handlers
    words = "".join(outline.words)
    assert "alert(1)" in words and 'onerror="window.hurt=1"' in words


def test_lines_lead_to_calls_and_to_kernels(page):
    made = re.findall(r'<li class="made"[^>]*data-calls="([\d ]*)" data-kernels="([\d ]*)"', page)
    assert len(made) == 3  # forward, backward, and the update
    kernels = set(re.findall(r'<details class="kernel" data-kernel="(\d+)"', page))
    led = {kernel for _, names in made for kernel in names.split()}
    assert kernels and led == kernels


def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.mark.skipif(browser() is None, reason="no Chromium or Chrome on this machine")
def test_it_lives_in_a_browser(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page.replace("<head>", "<head>" + CLICKS, 1), encoding="utf-8")
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--window-size=1400,900", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
               path.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    outline = Outline()
    outline.feed(done.stdout)
    found = json.loads(re.search(r'<div id="found">(.*?)</div>', done.stdout)[1])
    assert found["errors"] == [] and found["hurt"] == 0
    assert found["first"] == ["kernels"]
    assert found["views"] == {name: [name] for name in found["views"]} and len(found["views"]) == 10
    assert found["lines"] == 1 and set(found["kernels"]) == set(found["wanted"]) != set()
    assert found["calls"] > 0 and found["open"] is True and found["only"] == 1
    assert found["boxes"] > 0 and found["wide"]


def test_several_programs_have_a_button_each():
    x = torch.randn(30, 40)

    def twice():
        (x.exp() + 1).sum().item()
        return (x.sin() * 2).sum(0)

    page = torch.explain(twice).html()
    assert len(re.findall(r"<main class=.program. data-program=", page)) == 2
    assert len(re.findall(r"<button type=.button. data-program=", page)) == 2
    assert 'section[data-" + kind' in page  # the script hides what is not chosen


def test_the_command_writes_it(tmp_path):
    program = "import torch\nfor _ in range(5): (torch.ones(9) * 2).sum().item()\n"
    (tmp_path / "train.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "flambeau_command", "explain", "--html", "page.html", "train.py"],
        cwd=tmp_path, timeout=120, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "FLAMBEAU_PATIENCE": "0", "FLAMBEAU_THREADS": "1",
             "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "page.html" in done.stderr and done.stdout == ""
    assert "train.py" in (tmp_path / "page.html").read_text(encoding="utf-8")
