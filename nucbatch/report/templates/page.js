// What all parts of the page's script share: data, numbers, elements.

const read = (name) => {
  const block = document.getElementById(`${name}-data`);
  return block ? JSON.parse(block.content.textContent) : null;
};

// An array from base64 of little-endian items.
const unpack = (text, Items) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const get = { Float32Array: "getFloat32", Uint32Array: "getUint32", Uint16Array: "getUint16", Uint8Array: "getUint8" };
  const items = new Items(bytes.length / Items.BYTES_PER_ELEMENT);
  return items.map((_, index) => view[get[Items.name]](index * Items.BYTES_PER_ELEMENT, true));
};

// Three or four digits, thin spaces between thousands; "–" for a missing value.
const number = (value) => {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e7 || (size > 0 && size < 1e-3)) return value.toExponential(2);
  if (Number.isInteger(value) || size >= 1000) return Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
  const digits = size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
  return value.toFixed(digits).replace("-", "−");
};

const SVG = "http://www.w3.org/2000/svg";

// An element of HTML, or of SVG inside an SVG element; texts are set as text, so names are never parsed.
const element = (parent, name, attributes = {}, text = null) => {
  const inSvg = name === "svg" || (parent && parent.namespaceURI === SVG);
  const made = inSvg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
};

const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
for (const part of document.querySelectorAll(".unscripted")) part.remove();
