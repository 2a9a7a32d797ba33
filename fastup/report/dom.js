// Elements, numbers and pictures. What a frame or a file is called becomes text here, never HTML.
const SVG = "http://www.w3.org/2000/svg";
const page = JSON.parse(document.getElementById("data").textContent);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const make = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
const button = (label, act, attributes) => make("button", { type: "button", onclick: act, ...attributes }, label);

function figure(value, digits, signed) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  return (value < 0 && !zero ? "\u2212" : signed && !zero ? "+" : "") + text;
}

const parsed = new Map();
/** A set of pictures: data URLs by key. Those of a frame are read when it is first looked at, and the last few kept. */
function pictures(number) {
  if (!parsed.has(number)) {
    if (parsed.size > 12) parsed.delete(parsed.keys().next().value);
    parsed.set(number, JSON.parse(document.getElementById(`pictures-${number}`).textContent));
  }
  return parsed.get(number);
}

/** Call with an element's width, now and when it changes. */
function whenSized(element, act) {
  let last = 0;
  new ResizeObserver(() => {
    const width = element.clientWidth;
    if (width && width !== last) act((last = width));
  }).observe(element);
}

/** Ticks at 1, 2 or 5 times a power of ten, about as many as asked for. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

function theme() {
  const own = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const say = () => (own.textContent = dark() ? "Light colours" : "Dark colours");
  own.hidden = false;
  own.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    say();
  });
  system.addEventListener("change", say);
  say();
}
