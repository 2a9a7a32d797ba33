"""Pages for tests: what is in one, and a page of an evaluation with names that would be code if they were not text."""

import json
import shutil
from html.parser import HTMLParser

import fastup

EVIL = """a"b'c & <script>alert(1)</script><!-- </title>"""
FRAME = """f"1'<img src=x onerror=alert(1)>"""  # no slash: it is a file's


class Parsed(HTMLParser):
    """A page: its text, its scripts as (attributes, text), all tags as (name, attributes), and its data."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.texts, self._open = [], [], [], []
        self.feed(html)
        self.close()
        self.data = json.loads(self.script("data"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag in ("script", "style"):
            self.scripts.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open[-1:] in (["script"], ["style"]):
            self.scripts[-1][2].append(data)
        else:
            self.texts.append(data)

    def script(self, identity):
        (found,) = ("".join(parts) for _, attributes, parts in self.scripts if attributes.get("id") == identity)
        return found

    def section(self, kind, place=0):
        return [each for each in self.data["sections"] if each["kind"] == kind][place]

    def pictures(self, number):
        """Bytes by key."""
        from base64 import b64decode

        return {key: b64decode(url.split(",")[1]) for key, url in json.loads(self.script(f"pictures-{number}")).items()}


def write_page(small, folder):
    """A page of two models, on frames of `small` of which one has an evil name; gives its path."""
    from fastup.report import evaluate
    from fastup.upscale.evaluate import prepare
    from fastup.upscale.upscaler import Upscaler

    for side in ("Alpha", "Beta"):
        shutil.copytree(small / "evaluation" / side, folder / "evaluation" / side)
        first = fastup.find(folder / "evaluation" / side)[0]
        first.rename(first.with_name(f"{FRAME}.dpx"))
    cel = Upscaler("cel-sd")
    evaluate.write(folder / "page.html", prepare([cel, cel], folder), ["cel", EVIL])
    return folder / "page.html"
