// The fields of a well, and one of them enlarged: thumbnails with outlines, zoom, arrows, Esc.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const MOST_TOGETHER = 6;
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // right, down, left, up

// Path data, in half pixels, of outlines as nucbatch/report/outlines.py codes them.
const outlinePath = (code) => {
  const digits = Array.from(code, (letter) => LETTERS.indexOf(letter));
  const path = [];
  for (let at = 0; at < digits.length;) {
    let [x, y] = [digits[at] * 64 + digits[at + 1], digits[at + 2] * 64 + digits[at + 3]];
    const count = digits[at + 4] * 4096 + digits[at + 5] * 64 + digits[at + 6];
    at += 7;
    for (let step = 0; step < count; step += 1) {
      const [right, down] = STEPS[(digits[at + Math.floor(step / 3)] >> (4 - 2 * (step % 3))) & 3];
      path.push(`${step ? "L" : "M"}${2 * x + right} ${2 * y + down}`);
      x += right;
      y += down;
    }
    path.push("z");
    at += Math.ceil(count / 3);
  }
  return path.join("");
};

const viewer = (() => {
  const dialog = element(document.body, "dialog", { id: "viewer" });
  const head = element(dialog, "header");
  const title = element(head, "h3");
  const tools = element(head, "div", { class: "tools" });
  const channel = element(tools, "select", { "aria-label": "Channel" });
  const label = element(tools, "label", { class: "switch" });
  const outlines = element(label, "input", { type: "checkbox", checked: "" });
  label.append(" Outlines");
  const button = (text, name) => element(tools, "button", { type: "button", "aria-label": name, title: name }, text);
  const back = button("‹", "Previous (left arrow)");
  const forth = button("›", "Next (right arrow)");
  const close = button("×", "Close (Esc)");
  const note = element(dialog, "p", { class: "note" });
  const grid = element(dialog, "div", { class: "shots" });
  const stage = element(dialog, "div", { class: "stage", tabindex: 0, hidden: "" });
  const more = element(dialog, "details");
  element(more, "summary", {}, "All values of this well");
  const drawing = element(dialog, "div", { class: "charts" });
  const values = element(element(more, "div", { class: "scroll" }), "table");
  let shots = [], at = -1, steps = {}, view = { x: 0, y: 0, scale: 1 };

  const draw = (shot, parent, shown = Math.max(channel.selectedIndex, 0)) => {
    const frame = element(parent, "span", { class: "frame" });
    const src = shot.images[shown] || "";
    if (src) element(frame, "img", { src, alt: shot.title, draggable: "false" });
    else element(frame, "span", { class: "absent" }, "no image in this channel");
    const [height, width] = shot.size;
    frame.style.aspectRatio = `${width}/${height}`;
    frame.style.setProperty("--aspect", width / height);
    if (!outlines.checked) return frame;
    shot.paths ??= shot.outlines.map(outlinePath);
    const svg = element(frame, "svg", { viewBox: `0 0 ${width * 2} ${height * 2}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    shot.paths.forEach((path, index) => element(svg, "path", { d: path, class: index ? "elsewhere" : "" }));
    return frame;
  };

  const place = () => {
    const frame = stage.firstChild;
    frame.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    frame.classList.toggle("pixels", view.scale > 3);
  };
  const zoom = (factor, x = 0, y = 0) => {
    const scale = Math.min(Math.max(view.scale * factor, 1), 16);
    const share = scale / view.scale; // the point (x, y), from the middle of the stage, stays where it is
    view = scale === 1 ? { x: 0, y: 0, scale } : { x: x - (x - view.x) * share, y: y - (y - view.y) * share, scale };
    place();
  };

  const showGrid = (focused = 0) => {
    at = -1;
    stage.hidden = true;
    grid.hidden = false;
    more.hidden = !steps.values;
    drawing.hidden = false;
    drawing.replaceChildren();
    steps.draw?.(drawing);
    title.textContent = steps.title;
    note.textContent = steps.note;
    grid.replaceChildren();
    const names = [...channel.options].map((option) => option.textContent);
    const together = shots.length * names.length <= MOST_TOGETHER; // few pictures: all channels side by side
    channel.hidden = names.length < 2 || together;
    const drawn = shots.flatMap((shot, index) => (together && names.length ? names.map((_, one) => [shot, index, one])
      : [[shot, index, Math.max(channel.selectedIndex, 0)]]));
    drawn.forEach(([shot, index, one]) => {
      const cell = element(grid, "button", { type: "button", class: "shot" });
      draw(shot, cell, one);
      const caption = element(cell, "span", { class: "caption" }, shot.title);
      if (names.length > 1) element(caption, "small", {}, ` · ${names[one]}`);
      if (shot.outlines.length > 1) element(cell, "span", { class: "caption" }, "dashed: nuclei that do not count here");
      if (shot.flag) element(cell, "span", { class: "caption flag" }, shot.flag);
      cell.addEventListener("click", () => { channel.selectedIndex = one; showStage(index); });
    });
    (grid.children[focused] || close).focus();
  };

  const showStage = (index) => {
    at = index;
    const shot = shots[at];
    stage.hidden = false;
    channel.hidden = channel.options.length < 2;
    grid.hidden = more.hidden = drawing.hidden = true;
    title.textContent = shot.title;
    const dashed = shot.paths?.length > 1 ? "dashed: nuclei that do not count here" : "";
    note.textContent = [shot.name, shot.flag, dashed, "wheel or + and − to zoom, drag to move, arrows for the next, Esc to go back"]
      .filter(Boolean).join(" · ");
    stage.replaceChildren();
    draw(shot, stage);
    view = { x: 0, y: 0, scale: 1 };
    stage.focus();
  };
  const redraw = () => {
    if (at < 0) showGrid();
    else showStage(at);
  };
  const leave = () => {
    if (at >= 0 && steps.title) showGrid(at);
    else dialog.close();
  };
  const step = (by) => {
    if (at < 0) steps.go?.(by);
    else if (shots[at + by]) showStage(at + by);
    else if (steps.go?.(by)) showStage(by > 0 ? 0 : shots.length - 1);
  };

  outlines.addEventListener("change", redraw);
  channel.addEventListener("change", redraw);
  back.addEventListener("click", () => step(-1));
  forth.addEventListener("click", () => step(1));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
  dialog.addEventListener("close", () => steps.from?.focus());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.target === channel) return;
    const acts = { ArrowLeft: () => step(-1), ArrowRight: () => step(1) };
    if (at >= 0) Object.assign(acts, { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": () => zoom(0) });
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
  });
  stage.addEventListener("wheel", (event) => {
    const box = stage.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
    event.preventDefault();
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => stage.setPointerCapture(event.pointerId));
  stage.addEventListener("pointermove", (event) => {
    if (!stage.hasPointerCapture(event.pointerId) || view.scale === 1) return;
    view = { ...view, x: view.x + event.movementX, y: view.y + event.movementY };
    place();
  });

  // Opens some shots: {title, note, values, go, from}; with `enlarged` that one alone.
  return (some, what, channels, enlarged = -1) => {
    shots = some;
    steps = what;
    if (channel.dataset.of !== channels.join()) {
      channel.replaceChildren();
      channels.forEach((name) => element(channel, "option", {}, name));
      channel.dataset.of = channels.join();
    }
    values.replaceChildren();
    const body = element(values, "tbody");
    for (const [name, value] of what.values || []) {
      const line = element(body, "tr");
      element(line, "th", { scope: "row" }, name);
      element(line, "td", { class: "num" }, value);
    }
    if (!dialog.open) dialog.showModal();
    if (enlarged >= 0) showStage(enlarged);
    else showGrid();
  };
})();

if (plate) {
  const fields = read("fields");
  let chosen = plate.measures[0];
  onMeasure.push((measure) => { chosen = measure; });

  const shotsOf = (well) => (fields ? fields.fields.filter((field) => field.well === well) : []).map((field) => {
    field.title ??= `${wellName(well)}, site ${field.site}: ${field.count === 1 ? "1 nucleus" : `${number(field.count)} nuclei`}`;
    return field;
  });
  const openWell = (well, from) => {
    const shots = shotsOf(well);
    const [name, ...lines] = described(chosen, well);
    const missing = plate.fields[well][0] - shots.length;
    if (!fields) lines.push("this run kept no pixels");
    else if (missing) lines.push(`${plural(missing, "counted field")} not shown here, to keep this file small`);
    const values = plate.measures.map((measure) => [
      `${measure.name}`, number(valuesOf(measure)[well]),
    ]);
    const go = (by) => {
      const next = well + by;
      if (next < 0 || next >= plate.wells.length) return false;
      openWell(next, document.querySelector(`[data-well="${next}"]`));
      return shotsOf(next).length > 0;
    };
    viewer(shots, { title: name, note: lines.join("; "), values, go, from, draw: (parent) => drawNuclei(parent, chosen, well) }, fields ? fields.channels : []);
  };
  onWell.push(openWell);
}

if (plate) chooseMeasure(plate.first);

// Pictures of the contact sheet open in the same viewer.
const sheet = [...document.querySelectorAll(".sheet .cell")];
const pictures = sheet.map((cell) => {
  const [, , width, height] = cell.querySelector("svg").getAttribute("viewBox").split(" ").map(Number);
  return {
    title: `${cell.querySelector("figcaption strong").textContent}: ${cell.querySelector(".count").textContent}`,
    name: cell.querySelector("img").alt,
    flag: cell.querySelector(".flag")?.textContent,
    size: [height / 2, width / 2],
    images: [cell.querySelector("img").src],
    paths: [...cell.querySelectorAll("path")].map((path) => path.getAttribute("d")),
  };
});
sheet.forEach((cell, index) => {
  const frame = cell.querySelector(".frame");
  frame.addEventListener("click", (event) => {
    event.preventDefault();
    viewer(pictures, { from: frame }, [], index);
  });
});
