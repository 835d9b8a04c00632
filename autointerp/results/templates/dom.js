// How is an element made, and a number written? Data only ever becomes a text node or a text attribute.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const readJson = (id) => JSON.parse(byId(id).textContent);

const known = (value) => typeof value === "number" && Number.isFinite(value);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const minus = (text) => text.replace("-", "−");
const fixed = (value, digits = 2) => (known(value) ? minus(value.toFixed(digits)) : "–");
const signed = (value, digits = 2) => (known(value) ? (value > 0 ? "+" : "") + fixed(value, digits) : "–");
const count = (value) => (known(value) ? value.toLocaleString("en-US") : "–");
const words = (name) => String(name).replaceAll("_", " ");

function percent(share) {
  if (!known(share)) return "–";
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return (value >= 9.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)) + " %";
}

// A number without needless digits, for axes.
const short = (value) => (known(value) ? minus(String(Number(value.toPrecision(2)))) : "–");
