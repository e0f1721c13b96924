// Distributions of the chosen measure over wells and nuclei, and small maps of the quality figures.

const distributions = read("distributions");
const BOX = { width: 520, height: 240, left: 58, right: 508, top: 12, bottom: 200 };
const BINS = 24;

// At most six round numbers between two values.
const roundNumbers = (low, high) => {
  if (!(high > low)) return [low];
  const size = 10 ** Math.floor(Math.log10((high - low) / 6));
  const step = [1, 2, 5, 10, 20].map((many) => many * size)
    .find((one) => Math.floor(high / one + 1e-9) - Math.ceil(low / one - 1e-9) < 6);
  const numbers = [];
  for (let at = Math.ceil(low / step - 1e-9); at <= Math.floor(high / step + 1e-9); at += 1) numbers.push(at * step);
  return numbers;
};

const scale = (low, high, begin, end) => (value) => begin + ((high > low ? (value - low) / (high - low) : 0.5) * (end - begin));
const tickText = (value) => String(Number(value.toPrecision(4)));

const chart = (parent, title, about) => {
  const figure = element(parent, "figure", { class: "chart" });
  element(element(figure, "figcaption"), "strong", {}, title);
  const svg = element(figure, "svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": about });
  return { figure, svg };
};

const valueAxis = (svg, y, low, high) => {
  for (const value of roundNumbers(low, high)) {
    element(svg, "path", { class: "gridline", d: `M${BOX.left} ${y(value)}H${BOX.right}` });
    element(svg, "text", { x: BOX.left - 7, y: y(value) + 4, "text-anchor": "end" }, tickText(value));
  }
};
const frame = (svg) => element(svg, "path", { class: "axis-line", d: `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}` });
const label = (svg, text, y = 236) => element(svg, "text", { x: (BOX.left + BOX.right) / 2, y, "text-anchor": "middle" }, text);

const median = (values) => {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// Wells in groups [[name, [well, …]], …]: a point each, and the median of each group.
const strips = (parent, title, measure, groups, axis) => {
  const values = valuesOf(measure);
  const shown = groups.map(([name, wells]) => [name, wells.filter((well) => Number.isFinite(values[well]))]);
  const all = shown.flatMap(([, wells]) => wells.map((well) => values[well]));
  if (!all.length) return null;
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const y = scale(low - (high - low) * 0.05, high + (high - low) * 0.05, BOX.bottom, BOX.top);
  const medians = shown.map(([name, wells]) => (wells.length ? `${name} ${number(median(wells.map((well) => values[well])))}` : ""));
  const { figure, svg } = chart(parent, title, `${measure.label} ${axis}, medians: ${medians.filter(Boolean).join(", ")}`);
  valueAxis(svg, y, low, high);
  const width = (BOX.right - BOX.left) / shown.length;
  const every = Math.ceil(shown.length / 26);
  shown.forEach(([name, wells], at) => {
    const middle = BOX.left + (at + 0.5) * width;
    if (at % every === 0) element(svg, "text", { x: middle, y: BOX.bottom + 17, "text-anchor": "middle" }, name);
    wells.forEach((well, order) => {
      const aside = wells.length > 1 ? ((order * 0.618) % 1 - 0.5) * Math.min(width * 0.6, 46) : 0; // spread evenly, the same each time
      const point = element(svg, "circle", {
        class: `point ${distributions.controls[well]}`, cx: middle + aside, cy: y(values[well]), r: shown.length > 24 ? 2.2 : 3.4,
      });
      element(point, "title", {}, described(measure, well).join("\n"));
      point.addEventListener("click", () => onWell.forEach((told) => told(well, null)));
    });
    if (!wells.length) return;
    const level = y(median(wells.map((well) => values[well])));
    const half = Math.min(width * 0.4, 32);
    element(svg, "path", { class: "median", d: `M${middle - half} ${level}H${middle + half}` });
  });
  frame(svg);
  label(svg, axis);
  return figure;
};

// Groups of wells by a key of each; keys in the order in which they come.
const groupsBy = (keyOf) => {
  const groups = new Map();
  plate.wells.forEach((name, well) => {
    const key = keyOf(name, well);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(well);
  });
  return [...groups];
};

const nucleiOf = (measure) => {
  const column = measure.name.replace(/^(Mean|Median)_/, "");
  const found = column !== measure.name && distributions.nuclei.find((one) => one.name === column);
  if (found) found.unpacked ??= unpack(found.counts, found.wide ? Uint32Array : Uint16Array);
  return found;
};

// Nuclei of some wells, as shares of all of them in each bin.
const shares = (histogram, wells) => {
  const sums = new Array(BINS).fill(0);
  for (const well of wells) for (let bin = 0; bin < BINS; bin += 1) sums[bin] += histogram.unpacked[well * BINS + bin];
  const total = sums.reduce((sum, count) => sum + count, 0);
  return { total, values: sums.map((count) => (total ? count / total : 0)) };
};

// Histograms [[name, class, wells], …] of a measure of nuclei over one another; the first is filled.
const nucleusChart = (parent, title, measure, groups) => {
  const histogram = nucleiOf(measure);
  if (!histogram) return;
  const drawn = groups.map(([name, kind, wells]) => ({ name, kind, ...shares(histogram, wells) })).filter(({ total }) => total);
  if (!drawn.length) return;
  const [low, high] = histogram.limits;
  const top = Math.max(...drawn.flatMap(({ values }) => values)) * 1.05;
  const [x, y] = [scale(low, high, BOX.left, BOX.right), scale(0, 100 * top, BOX.bottom, BOX.top)];
  const about = drawn.map(({ name, total }) => `${name}: ${plural(total, "nucleus").replace("nucleuss", "nuclei")}`).join(", ");
  const { figure, svg } = chart(parent, title, `Histogram of ${histogram.name}. ${about}`);
  valueAxis(svg, y, 0, 100 * top);
  for (const value of roundNumbers(low, high)) {
    element(svg, "path", { class: "tick", d: `M${x(value)} ${BOX.bottom}v5` });
    element(svg, "text", { x: x(value), y: BOX.bottom + 17, "text-anchor": "middle" }, tickText(value));
  }
  const step = (BOX.right - BOX.left) / BINS;
  drawn.forEach(({ values, kind }, order) => {
    const steps = values.map((value, bin) => `V${y(100 * value).toFixed(1)}H${(BOX.left + (bin + 1) * step).toFixed(1)}`).join("");
    element(svg, "path", { class: order ? `line ${kind}` : "bars", d: `M${BOX.left} ${BOX.bottom}${steps}V${BOX.bottom}` });
  });
  frame(svg);
  label(svg, `${histogram.name} (y: % of nuclei)`);
  const [below, above] = histogram.beyond;
  const ends = below + above ? ` ${number(below + above)} of all nuclei lie beyond the ends and are in the outermost bins.` : "";
  element(figure, "p", { class: "note" }, `${about}.${ends}`);
};

// The nuclei of one well over those of all wells of its plate and time point.
const drawNuclei = (parent, measure, well) => {
  if (!distributions) return;
  const others = [...plate.wells.keys()].filter((one) => plate.plate[one] === plate.plate[well] && plate.times[one] === plate.times[well]);
  nucleusChart(parent, "Nuclei of this well among those of the plate", measure, [["the plate", "", others], [plate.wells[well], "well", [well]]]);
};

if (plate && distributions) {
  const place = document.getElementById("distributions-charts");
  const kinds = { positive: "positive", negative: "negative", "": "others" };
  onMeasure.push((measure) => {
    place.replaceChildren();
    strips(place, "By row", measure, groupsBy((name) => name.replace(/\d+$/, "")), "row");
    const columns = groupsBy((name) => Number(name.replace(/^\D+/, ""))).sort(([one], [other]) => one - other);
    strips(place, "By column", measure, columns, "column");
    const controls = groupsBy((_, well) => kinds[distributions.controls[well]]);
    if (controls.length > 1) strips(place, "By control", measure, controls, "control");
    const edge = strips(place, "Outer and inner wells", measure,
      groupsBy((_, well) => (distributions.outer[well] ? "outer" : "inner")), "place on the plate");
    const effect = distributions.edge[plate.measures.indexOf(measure)];
    if (edge && effect) {
      const [outer, inner, delta, p, outerWells, innerWells] = effect;
      const percent = inner ? ` (${outer >= inner ? "+" : "−"}${Math.abs(100 * (outer - inner) / inner).toFixed(1)} %)` : "";
      element(edge, "p", { class: "note" }, `Median of ${outerWells} outer wells ${number(outer)}, of ${innerWells} inner wells ${number(inner)}${percent}. `
        + `Cliff's delta ${delta.toFixed(2)}, p = ${p < 0.001 ? p.toExponential(1) : p.toFixed(3)} (Mann-Whitney, two-sided); controls are left out. `
        + "Treatments that differ between edge and inside show here too.");
    } else if (edge) element(edge, "p", { class: "note" }, "Fewer than three wells on one of the two sides: no test.");
    const all = [...plate.wells.keys()];
    const groups = [["all wells", "", all]];
    for (const kind of ["negative", "positive"]) groups.push([`${kind} controls`, kind, all.filter((well) => distributions.controls[well] === kind)]);
    nucleusChart(place, "Nuclei", measure, groups);
  });
}

const quality = read("quality");
if (plate && quality) {
  const place = document.getElementById("quality-maps");
  const first = plate.wells.map((_, well) => well).filter((well) => plate.plate[well] === 0 && plate.times[well] === plate.times[0]);
  const at = first.map((well) => {
    const [, letters, column] = plate.wells[well].match(/^(\D+)(\d+)$/);
    return { well, row: [...letters].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1, column: Number(column) - 1 };
  });
  const [rows, columns] = [Math.max(...at.map(({ row }) => row)) + 1, Math.max(...at.map(({ column }) => column)) + 1];
  const alike = [];
  for (const measure of plate.measures.filter(({ group }) => group === quality.group)) {
    const values = valuesOf(measure);
    const known = first.map((well) => values[well]).filter(Number.isFinite);
    if (new Set(known).size === 1) { // a map of one colour shows nothing
      alike.push(`${measure.label} ${number(known[0])}`);
      continue;
    }
    const figure = element(place, "figure");
    const caption = element(figure, "figcaption");
    element(caption, "strong", {}, measure.label);
    const limits = quality.thresholds[measure.name];
    const ends = limits ? [[limits.low, "below"], [limits.high, "above"]].filter(([value]) => value !== null && value !== undefined) : [];
    const said = ends.map(([value, side]) => `${side} ${number(value)}`).join(" or ");
    element(caption, "span", { class: "note" }, ` ${number(measure.limits[0])} to ${number(measure.limits[1])}${said ? `; ${limits.flag} ${said}` : ""}`);
    const svg = element(figure, "svg", { viewBox: `0 0 ${columns * 10} ${rows * 10}`, role: "img", "aria-label": `${measure.label} in the wells` });
    for (const { well, row, column } of at) {
      const isKnown = Number.isFinite(values[well]);
      const rect = element(svg, "rect", { x: column * 10 + 0.7, y: row * 10 + 0.7, width: 8.6, height: 8.6, rx: 1.5, class: isKnown ? "" : "empty" });
      if (isKnown) rect.setAttribute("fill", colour(shade(measure, values[well])));
      if (quality.flags[well]) rect.classList.add("flagged");
      element(rect, "title", {}, [...described(measure, well), quality.flags[well]].filter(Boolean).join("\n"));
      rect.addEventListener("click", () => onWell.forEach((told) => told(well, null)));
    }
  }
  if (alike.length) element(place.parentNode, "p", { class: "note" }, `The same in all wells: ${alike.join(", ")}.`);
}
