// The plate map: chooses a measure, colours the wells, and says values on hover, by keyboard and as a table.

const plate = read("plate");
const onMeasure = []; // functions to call with a measure when it is chosen
const onWell = []; // functions to call with a well's index when it is opened
let chooseMeasure = null; // chooses a measure by its index, once the plate map is there

const wellName = (index) => {
  const several = plate.plates.length > 1 ? `${plate.plates[plate.plate[index]]} ` : "";
  const time = new Set(plate.times).size > 1 ? `, time point ${plate.times[index]}` : "";
  return `${several}${plate.wells[index]}${time}`;
};

const valuesOf = (measure) => {
  if (!measure.unpacked) measure.unpacked = unpack(measure.values, Float32Array);
  return measure.unpacked;
};

const shade = (measure, value) => {
  const [low, high] = measure.limits;
  return high > low ? Math.min(Math.max((value - low) / (high - low), 0), 1) : 0.5;
};

const colour = (share) => plate.colours[Math.round(share * (plate.colours.length - 1))];

const gaps = (index) => {
  const [, failed, pending, notSelected] = plate.fields[index];
  const parts = [[failed, "failed"], [pending, "not processed yet"], [notSelected, "not selected"]];
  return parts.filter(([count]) => count).map(([count, what]) => `${plural(count, "field")} ${what}`).join(", ");
};

// The lines that describe a well: its name, its value, and its fields.
const described = (measure, index) => {
  const value = valuesOf(measure)[index];
  const [done] = plate.fields[index];
  const lines = [wellName(index)];
  if (Number.isFinite(value)) lines.push(`${measure.label}: ${number(value)}`);
  else if (!done) lines.push("not counted");
  else if (gaps(index) && measure.name === "Count_Nuclei") lines.push("no sum: some fields are not counted");
  else lines.push(`${measure.label}: no value`);
  const rest = gaps(index);
  lines.push(`${plural(done, "field")} counted${rest ? `; ${rest}` : ""}`);
  return lines;
};

if (plate) {
  const choosers = [...document.querySelectorAll("select.measure")];
  const maps = [...document.querySelectorAll(".plate-map")];
  const tip = element(document.body, "div", { id: "tip", role: "status", hidden: "" });
  let chosen = plate.measures[0];

  for (const chooser of choosers) {
    let group = null;
    plate.measures.forEach((measure, index) => {
      if (!group || group.label !== measure.group) group = element(chooser, "optgroup", { label: measure.group });
      element(group, "option", { value: index }, measure.label);
    });
    chooser.addEventListener("change", () => choose(Number(chooser.value)));
  }
  if (plate.left_out) {
    document.getElementById("left-out").textContent = `${plate.left_out} more are in wells.csv.`;
  }

  const linesOf = (cell) => {
    if (cell.dataset.well !== undefined) return described(chosen, Number(cell.dataset.well));
    return [cell.dataset.name, "no image"];
  };

  const show = (cell) => {
    tip.replaceChildren();
    linesOf(cell).forEach((line, index) => element(tip, index ? "div" : "strong", {}, line));
    tip.hidden = false;
    const box = cell.getBoundingClientRect();
    const left = box.left + box.width / 2 - tip.offsetWidth / 2;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 4)) + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
  };
  const hide = () => { tip.hidden = true; };

  const paint = (cell) => {
    if (cell.dataset.well === undefined) return;
    const index = Number(cell.dataset.well);
    const rect = cell.querySelector("rect");
    cell.setAttribute("aria-label", linesOf(cell).join(", "));
    if (!plate.fields[index][0]) return; // without a counted field its sign says why
    const value = valuesOf(chosen)[index];
    const partly = plate.states[index] === "partly counted" ? " partly" : "";
    cell.querySelector("text")?.remove();
    rect.removeAttribute("fill");
    if (!Number.isFinite(value)) {
      rect.setAttribute("class", `valueless${partly}`);
      return;
    }
    const none = value === 0 && chosen.group === "Counts";
    const share = shade(chosen, value);
    rect.setAttribute("class", (none ? "zero" : "counted") + partly);
    if (!none) rect.setAttribute("fill", colour(share));
    const size = Number(cell.ownerSVGElement.dataset.font);
    if (!size) return;
    const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(rect.getAttribute(name)));
    const place = { x: x + width / 2, y: y + height / 2 + size * 0.36, "text-anchor": "middle", "font-size": size };
    element(cell, "text", { class: none ? "axis" : share > plate.dark_ink_from ? "dark" : "light", ...place }, number(value));
  };

  const table = document.getElementById("values");
  const fillTable = () => {
    if (!table.open) return;
    const place = table.querySelector("div");
    place.replaceChildren();
    for (const map of maps) {
      const made = element(place, "table", { class: "grid" });
      element(made, "caption", {}, map.getAttribute("aria-label"));
      const rows = new Map();
      for (const cell of map.querySelectorAll(".well")) {
        const [row, column] = cell.dataset.at.split(",").map(Number);
        if (!rows.has(row)) rows.set(row, new Map());
        rows.get(row).set(column, cell);
      }
      const head = element(element(made, "thead"), "tr");
      element(head, "td");
      for (const column of rows.values().next().value.keys()) element(head, "th", { scope: "col" }, column);
      const body = element(made, "tbody");
      for (const columns of rows.values()) {
        const line = element(body, "tr");
        const first = columns.values().next().value;
        element(line, "th", { scope: "row" }, first.dataset.name.replace(/\d+$/, ""));
        for (const cell of columns.values()) {
          const index = cell.dataset.well;
          const value = index === undefined ? NaN : valuesOf(chosen)[index];
          const without = index === undefined ? "no image" : plate.fields[index][0] ? "–" : plate.states[index];
          element(line, "td", { class: "num" }, Number.isFinite(value) ? number(value) : without);
        }
      }
    }
  };
  table.addEventListener("toggle", fillTable);

  const choose = (index) => {
    chosen = plate.measures[index];
    for (const chooser of choosers) chooser.value = index;
    document.getElementById("key-low").textContent = number(chosen.limits[0]);
    document.getElementById("key-high").textContent = number(chosen.limits[1]);
    document.getElementById("key-label").textContent = chosen.label;
    for (const map of maps) {
      map.setAttribute("aria-label", `${chosen.label}: ${chosen.group}${map.dataset.of}`);
      map.querySelectorAll(".well").forEach(paint);
    }
    fillTable();
    onMeasure.forEach((told) => told(chosen));
  };

  const cellsOf = new Map();
  for (const map of maps) {
    const cells = new Map();
    cellsOf.set(map, cells);
    map.dataset.of = map.getAttribute("aria-label").replace(/^.*? in the wells/, " in the wells");
    for (const cell of map.querySelectorAll(".well")) {
      const title = cell.querySelector("title");
      cell.dataset.name = title.textContent.split(":")[0];
      cell.setAttribute("aria-label", title.textContent);
      title.remove(); // the browser's own tooltip would cover this one
      cell.setAttribute("role", cell.dataset.well === undefined ? "img" : "button");
      cell.setAttribute("tabindex", cells.size ? -1 : 0);
      cells.set(cell.dataset.at, cell);
    }
  }

  const go = (from, to) => {
    if (!to) return;
    from.setAttribute("tabindex", -1);
    to.setAttribute("tabindex", 0);
    to.focus();
  };
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const press = (cell, key) => {
    if (steps[key]) {
      const [row, column] = cell.dataset.at.split(",").map(Number);
      const [down, right] = steps[key];
      go(cell, cellsOf.get(cell.ownerSVGElement).get(`${row + down},${column + right}`));
    } else if (key === "Enter" || key === " ") cell.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    else return false;
    return true;
  };
  // Listeners hang on the HTML around a map: an SVG element that listens to the focus could be focused itself.
  for (const box of document.querySelectorAll(".map")) {
    const on = (type, act) => box.addEventListener(type, (event) => {
      const cell = event.target.closest(".well");
      if (cell) act(cell, event);
    });
    on("pointerover", show);
    on("focusin", show);
    on("focusout", hide);
    box.addEventListener("pointerleave", hide);
    on("click", (cell) => {
      if (cell.dataset.well !== undefined) onWell.forEach((told) => told(Number(cell.dataset.well), cell));
    });
    on("keydown", (cell, event) => {
      if (event.key === "Escape") hide();
      else if (press(cell, event.key)) event.preventDefault();
    });
  }
  chooseMeasure = choose;
}
