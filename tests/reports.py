"""Pages for tests: what is in one, and a page of an evaluation with names that would be code if they were not text."""

import json
import re
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


def is_text(html):
    """Assert that what is evil became text wherever it stands: no tag comes of it, and what is read was written."""
    parsed = Parsed(html)
    assert not [tag for tag, _ in parsed.tags if tag == "img"]
    escaped = r"alert\(1\)(?:&lt;|\\u003c)/script|onerror=alert\(1\)(?:&gt;|\\u003e)"
    assert len(re.findall(escaped, html)) == html.count("alert(1)") > 1
    programs = [attributes for _, attributes, _ in parsed.scripts if attributes.get("type") != "application/json"]
    assert programs == [{}, {}]  # the style and the script
    return parsed


def write_pages(small, folder):
    """Pages of all other commands, on few frames of evil names; gives their paths by the commands."""
    from fastup.footage import dehalo, telecine
    from fastup.pairs.alignment import fits
    from fastup.pairs.folder import find_pairs
    from fastup.pairs.ranking import ranking
    from fastup.report import footage, pairs

    data, made = folder / FRAME, {}
    for side in ("Alpha", "Beta"):
        (data / "train" / side).mkdir(parents=True)
        for number, path in enumerate(fastup.find(small / "train" / side)):
            (data / "train" / side / f"{number}{FRAME}.dpx").symlink_to(path)
    rows, found = [("setting", EVIL)], find_pairs(data / "train")

    def write(command, by, *given):
        made[command] = folder / f"{command}.html"
        by(made[command], *given)

    write("pairs", pairs.write_fits, data, [(found, fits(found))])
    write("rank", pairs.write_ranking, data, ranking(found, 36, False, 0.5, folder), rows)
    matched = [
        {"frame": 7 * number, "partner": 7 * number + 3, "name": found.name(number), "set": "train", "why": "",
         "likeness": 0.9 - number / 10, "residual": 0.001, "differs": 0.0, "shift": [0.5, 0]} for number in range(3)
    ]  # fmt: skip
    matched.append({"frame": 30, "partner": 31, "set": None, "why": EVIL})
    sets = {name: {"pairs": 3 * (name == "train"), "shots": 1} for name in ("train", "validation", "evaluation")}
    about = {"sd": {"path": f"/x/{FRAME}.mov"}, "hd": {"path": "/x/hd.mov"}, "notes": ["validation is missing"],
             "shots": [{"sd": [0, 9]}, {"sd": [10, 40]}],
             "summary": {"pairs": 3, "frames": 40, "hd_frames": 50, "shots": 2, "sets": sets}}  # fmt: skip
    write("match", pairs.write_match, data, about, matched, rows)
    tape = folder / f"tape {FRAME}"
    tape.mkdir()
    stills = [fastup.read(path)[::2, ::2] for path in found.targets]
    for n in range(20):  # four frames of film in five of video: the third and the fourth are of two
        top, bottom = (stills[(n // 5 * 4 + k) % 3] for k in ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[n % 5])
        frame = top.copy()
        frame[1::2] = bottom[1::2]
        fastup.write(tape / f"{n:02d}.dpx", frame)
    seen = []
    report = telecine.detelecine(
        tape, folder / "film", force=True, on_film=lambda film: seen.append(footage.woven(film))
    )
    report["settings"]["range"] = EVIL
    write("detelecine", footage.write_cadence, tape, report, rows, *seen)
    plan = dehalo.prepare(tape, folder / "clean", kernel=[-0.1, 1.2, -0.1], numbers="0-1")
    write("dehalo", footage.write_halo, tape, plan.estimate, 1.0, rows, footage.dehaloed(plan))
    return made
