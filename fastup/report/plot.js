// Plots, as SVG that is drawn anew for each width, so that text keeps its size.
const HEIGHT = 264, LEFT = 52, RIGHT = 18, TOP = 8, BOTTOM = 34;

function legend(names, bins, dots) {
  const entry = (name, n) => make("li", null, draw("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" },
    bins ? draw("rect", { x: 4, y: 1, width: 16, height: 10, class: `bin c${n % 4}` })
      : dots ? draw("circle", { cx: 12, cy: 6, r: 4, class: `dot c${n % 4}` })
      : draw("line", { x1: 0, y1: 6, x2: 24, y2: 6, class: `curve c${n % 4}` })), name);
  return make("ul", { class: "legend" }, ...names.map(entry));
}

/** The frame of a plot: axes and their scales. Gives the SVG, and where x and y lie. */
function axes(width, spec) {
  const { x: [x0, x1], y: [y0, y1], log } = spec;
  const height = spec.height || HEIGHT;
  const across = width - LEFT - RIGHT, down = height - TOP - BOTTOM;
  const high = (y) => (log ? Math.log10(y) : y);
  const atX = (x) => LEFT + ((x - x0) / (x1 - x0 || 1)) * across;
  const atY = (y) => TOP + (1 - (high(y) - high(y0)) / (high(y1) - high(y0) || 1)) * down;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  (spec.shots || []).forEach(([first, stop], n) => {
    const left = Math.max(atX(first - 0.5), LEFT), right = Math.min(atX(stop - 0.5), width - RIGHT);
    if (n % 2) svg.append(draw("rect", { x: left, y: TOP, width: right - left, height: down, class: "shot" }));
    if (n) svg.append(draw("line", { x1: left, x2: left, y1: TOP, y2: TOP + down, class: "cut" }));
  });
  const levels = (log ? ticks(high(y0), high(y1), 4).map((y) => 10 ** y) : ticks(y0, y1, 5))
    .filter((y) => !spec.whole || Number.isInteger(y));
  const fine = finer(levels, spec.digits);
  for (const y of levels) {
    const line = { x1: LEFT, x2: width - RIGHT, y1: atY(y), y2: atY(y), class: y === 0 ? "zero" : "grid" };
    svg.append(draw("line", line), draw("text", { x: LEFT - 8, y: atY(y) + 4, "text-anchor": "end" },
      log ? y.toPrecision(2) : figure(y, fine, spec.signed)));
  }
  const whole = (x) => spec.xDigits || Number.isInteger(x);
  const first = spec.xFirst || 0;
  const places = ticks(x0 + first, x1 + first, width / 90).map((x) => x - first).filter(whole);
  for (const x of places) {
    svg.append(draw("text", { x: atX(x), y: TOP + down + 16, "text-anchor": atX(x) > width - 18 ? "end" : "middle" },
      spec.xDigits ? figure(x, finer(places, spec.xDigits), spec.xSigned) : (x + first).toLocaleString("en")));
  }
  svg.append(draw("text", { x: width - RIGHT, y: height - 3, "text-anchor": "end" }, spec.xTitle));
  return { svg, atX, atY, from: (place) => x0 + ((place - LEFT) / across) * (x1 - x0), down };
}

/** As many digits as tell ticks from one another. */
function finer(ticks, digits) {
  return ticks.length > 1 ? Math.min(Math.max(digits, Math.ceil(-Math.log10(ticks[1] - ticks[0]) - 1e-9)), 8) : digits;
}

function bounds(values, log) {
  const found = values.filter((value) => value !== null && Number.isFinite(value) && (!log || value > 0));
  if (!found.length) return [0, 1];
  let low = found.reduce((a, b) => Math.min(a, b)), high = found.reduce((a, b) => Math.max(a, b));
  if (log) return high > low ? [low / 1.1, high * 1.1] : [low / 2, high * 2];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 0.5;
  return [low - room, high + room];
}

/** Curves [{name, values or points}] along frames, or along anything. */
function curves(svg, at, named, dots) {
  named.forEach(({ points }, n) => {
    let path = "", begun = false;
    for (const [x, y] of points) {
      if (y === null) { begun = false; continue; }
      path += `${begun ? "L" : "M"}${at.atX(x).toFixed(1)} ${at.atY(y).toFixed(1)}`;
      begun = true;
    }
    if (dots !== "only") svg.append(draw("path", { d: path, class: `curve c${n % 4}` }));
    if (dots) {
      for (const [x, y] of points) {
        if (y !== null) svg.append(draw("circle", { cx: at.atX(x), cy: at.atY(y), r: 2.75, class: `dot c${n % 4}` }));
      }
    }
  });
}

/** A plot of curves, such as those of a training. */
function curvePlot(spec) {
  const named = spec.curves.map(({ name, points }) =>
    ({ name, points: points.filter(([, y]) => !spec.log || y === null || y > 0) }));
  const xs = named.flatMap(({ points }) => points.map(([x]) => x));
  const ys = named.flatMap(({ points }) => points.map(([, y]) => y));
  const words = named.map(({ name, points }) => {
    const last = points.filter(([, y]) => y !== null).pop();
    return last ? `${name} ends at ${figure(last[1], spec.digits)}` : name;
  });
  const holder = make("div", { role: "img", "aria-label": `${spec.title}, ${spec.y} over ${spec.x}: ${words.join("; ")}` });
  const x = xs.length ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
  const span = x[1] - x[0];
  const xDigits = span < 10 && xs.some((each) => !Number.isInteger(each)) ? (span < 1 ? 2 : 1) : 0;
  whenSized(holder, (width) => {
    const at = axes(width, { x, y: bounds(ys, spec.log), digits: spec.digits, log: spec.log, xTitle: spec.x, xDigits,
      height: 232 });
    curves(at.svg, at, named, spec.only ? "only" : spec.dots);
    holder.replaceChildren(at.svg);
  });
  return make("div", { class: "card plot" }, make("h3", null, `${spec.title}, ${spec.y}`),
    legend(named.map(({ name }) => name), false, Boolean(spec.only)), holder);
}

/** The bins of several sets of values: edges, and counts of each set. */
function binned(sets) {
  const all = sets.flat();
  if (!all.length) return null;
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
  const steps = ticks(low, high, Math.min(24, Math.max(6, Math.ceil(Math.sqrt(all.length) * 1.6))));
  const step = steps.length > 1 ? steps[1] - steps[0] : high - low;
  const first = Math.floor(low / step + 1e-9) * step;
  const count = Math.max(1, Math.ceil((high - first) / step + 1e-9));
  const place = (value) => Math.min(Math.floor((value - first) / step + 1e-9), count - 1);
  const counts = sets.map((set) => {
    const found = new Array(count).fill(0);
    set.forEach((value) => found[place(value)]++);
    return found;
  });
  return { first, step, count, counts };
}

function histogram(title, named, digits, signed, each) {
  const sets = named.map(({ values }) => values.filter((value) => value !== null));
  const bins = binned(sets);
  const box = make("div", { class: "card plot" }, make("h3", null, `How many ${each}s`));
  if (!bins) return box;
  const words = named.map(({ name }, n) => {
    const most = bins.counts[n].indexOf(Math.max(...bins.counts[n]));
    const [from, to] = [0, 1].map((k) => figure(bins.first + (most + k) * bins.step, digits, signed));
    return `${name}: most from ${from} to ${to}`;
  });
  const holder = make("div", { role: "img", "aria-label": `Histogram of ${title}. ${words.join("; ")}` });
  if (named.length > 1) box.append(legend(named.map(({ name }) => name), true));
  whenSized(holder, (width) => {
    const most = Math.max(...bins.counts.flat());
    const at = axes(width, { x: [bins.first, bins.first + bins.count * bins.step], y: [0, most * 1.06], digits: 0, whole: true,
      xTitle: title, xDigits: Math.max(digits - 1, 1), xSigned: signed });
    bins.counts.forEach((counts, n) => counts.forEach((count, bin) => {
      const left = at.atX(bins.first + bin * bins.step), right = at.atX(bins.first + (bin + 1) * bins.step);
      const wide = (right - left - 2) / sets.length;
      const top = at.atY(count);
      at.svg.append(draw("rect", { x: left + 1 + n * wide, y: top, width: Math.max(wide - 0.5, 0.5),
        height: Math.max(at.atY(0) - top, 0), class: `bin c${n % 4}` }));
    }));
    holder.replaceChildren(at.svg);
  });
  box.append(holder);
  return box;
}

/** Figures along the frames of a film; a click, or Enter, goes to one. */
function filmPlot(section, chosen, columns, go) {
  const named = columns.map(({ label, values }) => ({ name: label, points: values.map((y, x) => [x, y]) }));
  const last = Math.max(section.names.length - 1, 1);
  const range = section.names.length > 1 ? [-0.5, last + 0.5] : [-0.5, 0.5];
  const words = (n) => `${section.names[n]}: ${columns.map(({ label, values, signed }) =>
    `${label} ${figure(values[n], chosen.digits, signed)}`).join(", ")}`;
  const readout = make("p", { class: "readout" }, go ? "A click on the plot goes to that frame." : "");
  const holder = make("div", { role: "slider", tabindex: "0", "aria-valuemin": 1, "aria-valuemax": section.names.length,
    "aria-valuenow": 1, "aria-valuetext": words(0),
    "aria-label": `${chosen.label} along the ${section.each}s${go ? "; Enter goes to one" : ""}` });
  let place = 0, at = null, cursor = null;
  const point = (n) => {
    place = Math.min(Math.max(n, 0), section.names.length - 1);
    holder.setAttribute("aria-valuenow", place + 1);
    holder.setAttribute("aria-valuetext", words(place));
    readout.textContent = words(place);
    if (cursor) {
      cursor.setAttribute("x1", at.atX(place));
      cursor.setAttribute("x2", at.atX(place));
      cursor.setAttribute("visibility", "visible");
    }
  };
  const under = (event) => {
    const box = holder.getBoundingClientRect();
    return Math.round(at.from(event.clientX - box.left));
  };
  whenSized(holder, (width) => {
    const y = bounds(columns.flatMap(({ values }) => values));
    const signed = columns.some((each) => each.signed);
    if (signed) { y[0] = Math.min(y[0], 0); y[1] = Math.max(y[1], 0); }
    at = axes(width, { x: range, y, digits: chosen.digits > 1 && y[1] - y[0] > 2 ? 1 : chosen.digits, signed,
      shots: section.shots, xTitle: `${section.each}, in order`, xFirst: 1 });
    cursor = draw("line", { y1: TOP, y2: TOP + at.down, class: "cursor", visibility: "hidden" });
    curves(at.svg, at, named, section.names.length <= 400 ? true : false);
    at.svg.append(cursor);
    holder.replaceChildren(at.svg);
  });
  holder.addEventListener("pointermove", (event) => point(under(event)));
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (step) point(place + step);
    else if (event.key === "Home") point(0);
    else if (event.key === "End") point(section.names.length - 1);
    else if (event.key === "Enter" && go) go(place);
    else return;
    event.preventDefault();
  });
  if (go) holder.addEventListener("click", (event) => { point(under(event)); go(place); });
  return make("div", { class: `card plot${go ? " link" : ""}` },
    make("h3", null, `${chosen.plotted || chosen.label}${chosen.unit ? `, ${chosen.unit}` : ""}`),
    legend(named.map(({ name }) => name)), holder, readout);
}
