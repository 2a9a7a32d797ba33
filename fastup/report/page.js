// What of a page is drawn here: sections by their kind.
const MOST_ROWS = 500;
let view = null;

function seriesSection(section, slot) {
  let chosen = 0, order = { column: -1, down: false }, all = false;
  const seen = (row) => (section.rows ? section.rows[row] : row + (section.first || 0)); // what a viewer calls it
  const go = section.link && view ? (row) => view.go(seen(row)) : null;
  const plots = make("div", { class: "plots" });
  const body = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${section.title}` });
  const more = button("", () => { all = true; fillTable(); }, { hidden: true });
  const tabs = make("div", { class: "tabs", role: "group", "aria-label": "Figure" }, ...section.figures.map((each, n) =>
    button(each.label, () => { chosen = n; order = { column: -1, down: false }; update(); }, { "aria-pressed": "false" })));
  tabs.hidden = section.figures.length < 2;

  function update() {
    [...tabs.children].forEach((tab, n) => tab.setAttribute("aria-pressed", n === chosen));
    const each = section.figures[chosen], drawn = each.columns.filter((column) => column.plot);
    plots.replaceChildren();
    plots.hidden = !drawn.length;
    if (drawn.length) {
      const signed = drawn.some((column) => column.signed);
      const counted = drawn.map((column) => ({ name: column.label,
        values: column.values.filter((_, row) => !section.apart[row]) }));
      const unit = each.unit ? `, ${each.unit}` : "";
      plots.append(filmPlot(section, each, drawn, go), histogram(`${each.plotted || each.label}${unit}`, counted, each.digits, signed, section.each));
    }
    fillTable();
  }

  function fillTable() {
    const each = section.figures[chosen];
    const rows = section.names.map((_, row) => row);
    const key = (row) => (order.column < 0 ? row : each.columns[order.column].values[row]);
    rows.sort((a, b) => {
      const [one, other] = [key(a), key(b)];
      if (one === null || other === null) return (one === null) - (other === null) || a - b;
      const way = typeof one === "string" ? one.localeCompare(other) : one - other;
      return (order.down ? -way : way) || a - b;
    });
    const head = (label, column, text) => make("th", { scope: "col", class: text ? "name" : null,
      "aria-sort": order.column === column ? (order.down ? "descending" : "ascending") : "none" },
      button(`${label}${order.column === column ? (order.down ? " ↓" : " ↑") : ""}`, () => {
        order = order.column === column ? { column, down: !order.down } : { column, down: false };
        fillTable();
        body.querySelectorAll("thead button")[column + 1].focus();
      }));
    const cells = (values) => each.columns.map((column, n) => {
      const value = values[n];
      return make("td", { class: column.text ? "name" : each.plotted && column.signed && value < 0 ? "less" : null }, figure(value, each.digits, column.signed));
    });
    const name = (row) => go ? button(section.names[row], () => go(row), { class: "link" }) : section.names[row];
    const line = (row) => make("tr", { class: section.apart[row] ? "apart" : null, "data-row": seen(row) },
      make("th", { scope: "row" }, name(row)), ...cells(each.columns.map((column) => column.values[row])));
    const mean = each.columns.some((column) => column.mean !== undefined);
    const shown = all ? rows : rows.slice(0, MOST_ROWS);
    body.replaceChildren(make("table", { class: "sorted" },
      make("thead", null, make("tr", null, head(section.each, -1), ...each.columns.map((column, n) => head(column.label, n, column.text)))),
      make("tbody", null, ...(mean ? [make("tr", { class: "mean" }, make("th", { scope: "row" }, "mean"),
        ...cells(each.columns.map((column) => column.mean)))] : []), ...shown.map(line))));
    more.hidden = shown.length === rows.length;
    more.textContent = `All ${rows.length.toLocaleString("en")} ${section.each}s`;
  }

  slot.append(tabs, plots, body, more);
  update();
  document.addEventListener("frame", (event) => body.querySelectorAll("tr[data-row]").forEach((row) => {
    if (Number(row.dataset.row) === event.detail) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }));
}

function gallerySection(section, slot) {
  for (const group of section.groups) {
    if (group.title) slot.append(make("h3", null, group.title));
    const single = group.items.every((item) => Object.keys(item.labels).length < 2);
    const holder = make("div", { class: `crops${single ? " single" : ""}` });
    if (group.width) holder.style.setProperty("--item", `${group.width}px`);
    slot.append(holder);
    for (const item of group.items) {
      const row = make("div", { class: "row" });
      const caption = make("figcaption", { class: "what" }, make("span", null, item.caption),
        item.words ? make("span", { class: "small" }, item.words) : null);
      if (item.row !== undefined && view) caption.append(button("Look", () => view.go(item.row, item.window), { "aria-label": `Look: ${item.caption}` }));
      holder.append(make("figure", { class: "crop" }, ...(single ? [row, caption] : [caption, row])));
      const set = pictures(item.pictures);
      for (const [key, label] of Object.entries(item.labels)) {
        row.append(make("figure", null, make("img", { src: set[key], alt: label ? `${item.caption}: ${label}` : item.caption, decoding: "async", class: item.pixels ? "pixels" : null }),
          label ? make("span", { class: "label" }, label) : null));
      }
    }
  }
}

theme();
// The viewer first: others lead to it.
const slots = [...document.querySelectorAll(".slot")].map((slot) => [page.sections[slot.dataset.section], slot]);
for (const [section, slot] of slots) {
  if (section.kind === "viewer") {
    view = new Viewer(section);
    slot.append(...view.worst(), view.element);
  }
}
for (const [section, slot] of slots) {
  if (section.kind === "series") seriesSection(section, slot);
  else if (section.kind === "gallery") gallerySection(section, slot);
  else if (section.kind === "lines") slot.append(make("div", { class: "plots even" }, ...section.plots.map(curvePlot)));
}
if (view) view.tell();
