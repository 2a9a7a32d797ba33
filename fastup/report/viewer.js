// Frames in several versions: two of them under a divider, one after the other, or what differs between them.
const KEYS = [["← →", "the divider; of a picture that is zoomed, move it"], ["Shift + ← →", "the divider, always"],
  ["+ − 0", "zoom in, zoom out, the whole picture"], ["1 to 9", "what is seen at the right; with Shift, at the left"],
  ["B", "blink: one version, then the other, in its place"], ["D", "difference, amplified"],
  ["X", "left and right change places"], ["N P", "next frame, frame before"],
  ["G", "to the places that count, one after the other"], ["Esc", "back to the divider"]];
const MOST_ZOOM = 32;

class Viewer {
  constructor(section) {
    Object.assign(this, { section, frame: 0, split: 0.5, zoom: 1, x: 0.5, y: 0.5, mode: "split", side: "right", amplify: 8, place: -1 });
    [this.left, this.right] = section.sides;
    this.bitmaps = new Map();
    this.pointers = new Map();
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.tags = ["left", "right"].map((side) => make("span", { class: `tag ${side}` }));
    this.divider = make("div", { class: "divider", role: "slider", tabindex: "0", "aria-label": "Divider",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal" });
    this.stage = make("div", { class: "stage", tabindex: "0", role: "application",
      "aria-label": "Frame in two versions", "aria-describedby": "viewer-status" }, this.canvas, ...this.tags, this.divider);
    this.status = make("p", { class: "status", id: "viewer-status", "aria-live": "polite" });
    this.element = make("div", { class: "frame-view" }, this.bar(), this.stage, this.status, this.strip(), this.help());
    this.stage.style.aspectRatio = String(section.aspect);
    this.stage.style.maxHeight = "82vh";
    this.stage.style.width = "100%";
    this.listen();
    const first = section.worst.length ? section.worst[0].frames[0].frame : section.frames.findIndex((f) => f.pictures !== null);
    this.show(Math.max(first, 0));
  }

  // -- controls

  select(label, act, options) {
    const box = make("select", { onchange: () => act(box.value) }, ...options.map(([value, text]) => make("option", { value }, text)));
    return [make("label", null, label, box), box];
  }

  bar() {
    const names = this.section.versions.map(({ key, label }) => [key, label]);
    const [left, leftBox] = this.select("Left", (key) => this.set({ left: key }), names);
    const [right, rightBox] = this.select("Right", (key) => this.set({ right: key }), names);
    const shown = this.section.frames.map((frame, n) => [n, frame.name]).filter(([n]) => this.section.frames[n].pictures !== null);
    const [frame, frameBox] = this.select("Frame", (n) => this.show(Number(n)), shown);
    const [times, timesBox] = this.select("Amplified", (n) => this.set({ amplify: Number(n), mode: "difference" }),
      [2, 4, 8, 16, 32].map((n) => [n, `× ${n}`]));
    this.boxes = { left: leftBox, right: rightBox, frame: frameBox, amplify: timesBox };
    this.blinker = button("Blink", () => this.blink(), { "aria-pressed": "false" });
    this.differ = button("Difference", () => this.set({ mode: this.mode === "difference" ? "split" : "difference" }), { "aria-pressed": "false" });
    this.scale = button("Fit", () => this.zoomTo(1), { title: "The whole picture" });
    this.places = button(this.section.places, () => this.nextPlace());
    return make("div", { class: "bar", role: "group", "aria-label": "What is seen" },
      make("div", null, left, button("⇄", () => this.swap(), { class: "icon", "aria-label": "Left and right change places" }), right),
      make("div", null, this.blinker, this.differ, times),
      make("div", null, button("−", () => this.zoomTo(this.zoom / 1.5), { class: "icon", "aria-label": "Zoom out" }), this.scale,
        button("+", () => this.zoomTo(this.zoom * 1.5), { class: "icon", "aria-label": "Zoom in" }),
        button("1:1", () => this.zoomTo(this.onePixel()), { class: "icon", "aria-label": "A pixel of the picture on one of the screen" }),
        this.places),
      make("div", { class: "end" }, button("‹", () => this.step(-1), { class: "icon", "aria-label": "Frame before" }), frame,
        button("›", () => this.step(1), { class: "icon", "aria-label": "Next frame" })));
  }

  strip() {
    const thumbs = this.section.thumbs === undefined ? {} : pictures(this.section.thumbs);
    this.buttons = new Map();
    const strip = make("div", { class: "strip", role: "group", "aria-label": "Frames" });
    this.section.frames.forEach((frame, n) => {
      if (frame.pictures === null) return;
      const picture = thumbs[n] && make("img", { src: thumbs[n], alt: "", loading: "lazy", width: 108, height: Math.round(108 / this.section.aspect) });
      const own = button("", () => this.show(n), { title: frame.name });
      own.append(...(picture ? [picture] : []), make("span", null, frame.name), make("span", { class: "small" }, frame.short || "\u00a0"));
      this.buttons.set(n, own);
      strip.append(own);
    });
    strip.hidden = this.buttons.size < 2;
    return strip;
  }

  worst() {
    const thumbs = this.section.thumbs === undefined ? {} : pictures(this.section.thumbs);
    return this.section.worst.map(({ title, frames }) => make("div", null, make("h3", null, title),
      make("div", { class: "worst" }, ...frames.map(({ frame, figure: text, words }) => {
        const own = button("", () => { this.show(frame); this.reveal(); });
        if (thumbs[frame]) own.append(make("img", { src: thumbs[frame], alt: "", width: 216, height: Math.round(216 / this.section.aspect) }));
        own.append(make("span", { class: `figure${text.startsWith("\u2212") ? " less" : ""}` }, text), make("span", { class: "small" }, words));
        return own;
      }))));
  }

  help() {
    return make("details", null, make("summary", null, "Keys, with the picture in focus"),
      make("dl", { class: "keys" }, ...KEYS.map(([key, words]) => make("div", null, make("dt", null, key), make("dd", null, words)))));
  }

  // -- state

  set(change) {
    Object.assign(this, change);
    this.update();
  }

  swap() { this.set({ left: this.right, right: this.left }); }

  blink() {
    this.set(this.mode === "blink" ? { side: this.side === "left" ? "right" : "left" } : { mode: "blink", side: "right" });
  }

  show(n) {
    const frame = this.section.frames[n];
    if (!frame) return;
    if (frame.pictures === null) {
      this.status.textContent = `${frame.name}: the page has no pictures of it, for want of room`;
      return;
    }
    this.frame = n;
    this.place = -1;
    this.load(n);
    this.update();
    this.tell();
  }

  step(by) {
    const shown = [...this.buttons.keys()];
    const at = shown.indexOf(this.frame);
    if (shown[at + by] !== undefined) this.show(shown[at + by]);
  }

  reveal() {
    this.element.scrollIntoView({ block: "nearest" });
    this.stage.focus({ preventScroll: true });
  }

  /** To the frame of a row of the figures, and a window of it. */
  go(row, window) {
    const n = this.section.frames.findIndex((frame) => frame.row === row);
    if (n < 0) this.status.textContent = "The page has no pictures of that one";
    else this.show(n);
    if (n === this.frame) {
      if (window) this.look(window);
      this.reveal();
    } else this.element.scrollIntoView({ block: "nearest" });
  }

  look([left, top, width, height]) {
    this.x = left + width / 2;
    this.y = top + height / 2;
    this.zoomTo(Math.max(1, Math.min(0.5 / width, 0.5 / height)), 0, 0);
  }

  nextPlace() {
    const { places } = this.section.frames[this.frame];
    if (!places.length) return;
    this.place = (this.place + 1) % places.length;
    this.look(places[this.place].window);
  }

  // -- geometry: the picture fits into the stage, and zoom is how often that

  fit() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight, { aspect } = this.section;
    return width / height > aspect ? [height * aspect, height] : [width, width / aspect];
  }

  onePixel() {
    const one = this.bitmap(this.right) || this.bitmap(this.left);
    return one ? Math.max(1, one.width / (this.fit()[0] * devicePixelRatio)) : 1;
  }

  /** Zoom, with the point (across, down) of the stage, in CSS pixels from its middle, where it is. */
  zoomTo(zoom, across = 0, down = 0) {
    const [width, height] = this.fit();
    zoom = Math.min(Math.max(zoom, 1), MOST_ZOOM);
    this.x += across / width / this.zoom - across / width / zoom;
    this.y += down / height / this.zoom - down / height / zoom;
    this.zoom = zoom;
    this.clamp();
    this.update();
  }

  pan(across, down) {
    const [width, height] = this.fit();
    this.x -= across / width / this.zoom;
    this.y -= down / height / this.zoom;
    this.clamp();
    this.redraw();
  }

  clamp() {
    const [width, height] = this.fit();
    if (!width) return; // not on the page yet
    const half = (stage, size) => Math.min(stage / (2 * size * this.zoom), 0.5);
    const [x, y] = [half(this.stage.clientWidth, width), half(this.stage.clientHeight, height)];
    this.x = Math.min(Math.max(this.x, x), 1 - x);
    this.y = Math.min(Math.max(this.y, y), 1 - y);
  }

  divide(split) {
    this.split = Math.min(Math.max(split, 0), 1);
    if (this.mode !== "split") this.set({ mode: "split" });
    else this.redraw();
  }

  // -- pictures

  load(n) {
    const set = this.section.frames[n].pictures;
    if (this.bitmaps.has(n)) return;
    if (this.bitmaps.size > 5) this.bitmaps.delete(this.bitmaps.keys().next().value);
    const own = {};
    this.bitmaps.set(n, own);
    for (const [key, source] of Object.entries(pictures(set))) {
      const image = new Image();
      image.src = source;
      image.decode().then(() => createImageBitmap(image)).then((bitmap) => {
        own[key] = bitmap;
        if (n === this.frame) this.redraw();
      });
    }
  }

  bitmap(key) { return (this.bitmaps.get(this.frame) || {})[key]; }

  /** What differs between the two, amplified, as a picture; kept until another is asked for. */
  difference() {
    const [a, b] = [this.bitmap(this.left), this.bitmap(this.right)];
    if (!a || !b) return null;
    const asked = [this.frame, this.left, this.right, this.amplify].join();
    if (this.differed && this.differed.asked === asked) return this.differed.canvas;
    const width = Math.max(a.width, b.width), height = Math.max(a.height, b.height);
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const [one, other] = [a, b].map((each) => {
      context.drawImage(each, 0, 0, width, height);
      return context.getImageData(0, 0, width, height);
    });
    for (let n = 0; n < one.data.length; n++) {
      if (n % 4 !== 3) one.data[n] = this.amplify * Math.abs(one.data[n] - other.data[n]);
    }
    context.putImageData(one, 0, 0);
    this.differed = { asked, canvas };
    return canvas;
  }

  // -- what is seen

  update() {
    const frame = this.section.frames[this.frame];
    const label = (key) => this.section.versions.find((each) => each.key === key).label;
    this.boxes.left.value = this.left;
    this.boxes.right.value = this.right;
    this.boxes.frame.value = this.frame;
    this.boxes.amplify.value = this.amplify;
    this.blinker.setAttribute("aria-pressed", this.mode === "blink");
    this.differ.setAttribute("aria-pressed", this.mode === "difference");
    this.scale.textContent = this.zoom === 1 ? "Fit" : `${this.zoom.toFixed(1)} ×`;
    this.places.hidden = !frame.places.length;
    this.stage.classList.toggle("zoomed", this.zoom > 1);
    this.divider.hidden = this.mode !== "split";
    for (const [n, own] of this.buttons) {
      own.setAttribute("aria-current", n === this.frame);
      if (n === this.frame) {
        const strip = own.parentElement;
        const off = own.offsetLeft - strip.offsetLeft;
        if (off < strip.scrollLeft || off + own.offsetWidth > strip.scrollLeft + strip.clientWidth) strip.scrollLeft = off - 60;
      }
    }
    const [left, right] = [label(this.left), label(this.right)];
    const seen = { split: `${left} | ${right}`, blink: label(this[this.side]),
      difference: `difference of ${left} and ${right}, × ${this.amplify}` }[this.mode];
    const tags = { split: [left, right], blink: [label(this[this.side]), ""], difference: [seen, ""] }[this.mode];
    this.tags.forEach((tag, n) => { tag.textContent = tags[n]; tag.hidden = !tags[n]; });
    const place = this.place >= 0 ? frame.places[this.place].label : "";
    this.status.textContent = [frame.name, seen, frame.words, place].filter(Boolean).join(" · ");
    this.redraw();
  }

  /** Tell the others which frame is seen. */
  tell() { document.dispatchEvent(new CustomEvent("frame", { detail: this.section.frames[this.frame].row })); }

  redraw() {
    this.divider.style.left = `${this.split * 100}%`;
    this.divider.setAttribute("aria-valuenow", Math.round(this.split * 100));
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
  }

  paint() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight, dense = devicePixelRatio;
    const { canvas } = this;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    const context = canvas.getContext("2d");
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    const [wide, high] = this.fit().map((size) => size * this.zoom);
    const left = width / 2 - this.x * wide, top = height / 2 - this.y * high;
    const put = (picture, from, to) => {
      if (!picture || to <= from) return;
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, height);
      context.clip();
      context.imageSmoothingEnabled = (wide * dense) / picture.width < 3;
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, left, top, wide, high);
      context.restore();
    };
    if (this.mode === "difference") put(this.difference(), 0, width);
    else if (this.mode === "blink") put(this.bitmap(this[this.side]), 0, width);
    else {
      put(this.bitmap(this.left), 0, this.split * width);
      put(this.bitmap(this.right), this.split * width, width);
    }
    this.painted = (this.painted || 0) + 1;
  }

  // -- hands

  listen() {
    new ResizeObserver(() => { this.clamp(); this.redraw(); }).observe(this.stage);
    const at = (event) => {
      const box = this.stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top, box.width, box.height];
    };
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.pointers.set(event.pointerId, at(event));
      this.onDivider = this.pointers.size === 1 && (event.target === this.divider || this.zoom === 1);
      if (this.onDivider) this.divide(at(event)[0] / at(event)[2]);
      event.preventDefault();
      (event.target === this.divider ? this.divider : this.stage).focus({ preventScroll: true });
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      if (this.pointers.size === 2) {
        const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const far = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
        const middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
        const [from, to] = [middle(before), middle(now)];
        this.pan(to[0] - from[0], to[1] - from[1]);
        this.zoomTo(this.zoom * far(now) / far(before), to[0] - now[2] / 2, to[1] - now[3] / 2);
      } else if (this.onDivider) this.divide(now[0] / now[2]);
      else this.pan(now[0] - before[0], now[1] - before[1]);
      this.pointers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.stage.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    this.stage.addEventListener("dblclick", (event) => {
      const [x, y, width, height] = at(event);
      this.zoomTo(this.zoom > 1 ? 1 : Math.max(this.onePixel(), 3), x - width / 2, y - height / 2);
    });
    this.stage.addEventListener("wheel", (event) => {
      if (this.zoom === 1 && event.deltaY > 0 && !event.ctrlKey) return; // the page scrolls on
      event.preventDefault();
      const [x, y, width, height] = at(event);
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.zoomTo(this.zoom * 2 ** (-event.deltaY * lines / (event.ctrlKey ? 60 : 240)), x - width / 2, y - height / 2);
    }, { passive: false });
    this.stage.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const digit = /^Digit([1-9])$/.exec(event.code);
    const own = { "+": () => this.zoomTo(this.zoom * 1.5), "=": () => this.zoomTo(this.zoom * 1.5),
      "-": () => this.zoomTo(this.zoom / 1.5), 0: () => this.zoomTo(1), b: () => this.blink(),
      d: () => this.differ.click(), x: () => this.swap(), n: () => this.step(1), p: () => this.step(-1),
      g: () => this.nextPlace(), Escape: () => this.set({ mode: "split" }) }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const onDivider = event.target === this.divider || event.shiftKey || this.zoom === 1;
    if (arrow && arrow[0] && onDivider) this.divide(this.split + arrow[0] * 0.02);
    else if (arrow && this.zoom > 1) this.pan(-arrow[0] * 60, -arrow[1] * 60);
    else if (onDivider && event.key === "Home") this.divide(0);
    else if (onDivider && event.key === "End") this.divide(1);
    else if (digit && this.section.versions[digit[1] - 1]) this.set({ [event.shiftKey ? "left" : "right"]: this.section.versions[digit[1] - 1].key });
    else if (own) own();
    else return;
    event.preventDefault();
  }
}
