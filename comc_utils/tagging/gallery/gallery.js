// A gallery of tagged photos: in the page that `tag --gallery` writes, and in notebooks.
// What comes from files and people, names above all, is set as text and never as HTML.

const HEAT = [213, 94, 0];
const KEYS = [
  ["arrows, Enter", "choose a photo, open it; in it: other photos, other labels"],
  ["[ and ]", "lower and raise the threshold"],
  ["y, n, u", "in a photo: this tag is right, is wrong, take the answer back"],
  ["o, g", "in a photo: overlay, grid"],
  ["Esc", "close"],
];

/** Make an element; `made` are its properties, `children` nodes or texts. */
function make(tag, made = {}, ...children) {
  const element = Object.assign(document.createElement(tag), made);
  element.append(...children);
  return element;
}

/** Save a file where the browser saves files. */
function download(name, content) {
  const url = URL.createObjectURL(new Blob([content]));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function written(value, data) {
  if (!data.logit) return value.toFixed(2);
  const share = 1 / (1 + Math.exp(-value));
  return share < 0.001 ? "<0.001" : share < 0.0995 ? share.toPrecision(2) : share.toFixed(2);
}

/** Scores of a photo's regions for its tag number `at`, row by row; null without regions. */
function regionsOf(photo, at) {
  if (!photo.regions) return null;
  const bytes = Uint8Array.from(atob(photo.regions), (c) => c.charCodeAt(0));
  const steps = new DataView(bytes.buffer);
  const n = photo.side ** 2;
  const scale = (photo.high - photo.low) / 65535;
  return Array.from({ length: n }, (_, i) => photo.low + steps.getUint16(2 * (at * n + i), true) * scale);
}

/** Between the middles of regions, values change evenly. */
function between(values, side, x, y) {
  const cell = (t) => Math.min(Math.max(t * side - 0.5, 0), side - 1);
  const [u, v] = [cell(x), cell(y)];
  const [c, r] = [Math.min(Math.floor(u), side - 2), Math.min(Math.floor(v), side - 2)].map((i) => Math.max(i, 0));
  const at = (row, column) => values[Math.min(row, side - 1) * side + Math.min(column, side - 1)];
  const [s, t] = [u - c, v - r];
  return (1 - t) * ((1 - s) * at(r, c) + s * at(r, c + 1)) + t * ((1 - s) * at(r + 1, c) + s * at(r + 1, c + 1));
}

/** Lay regions' scores over a photo: colour for high ones, a frame around the highest, dark where none is. */
function drawOverlay(canvas, photo, values, data, { overlay, grid }) {
  const { width, height } = canvas;
  const { side } = photo;
  const pen = canvas.getContext("2d");
  const [left, top, right, bottom] = photo.seen.map((share, i) => Math.round(share * (i % 2 ? height : width)));
  pen.fillStyle = "rgba(0, 0, 0, 0.55)";
  pen.fillRect(0, 0, width, height);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const heat = new ImageData(Math.max(right - left, 1), Math.max(bottom - top, 1));
  for (let y = 0, i = 0; overlay && y < heat.height; y++) {
    for (let x = 0; x < heat.width; x++, i += 4) {
      const value = between(values, side, (x + 0.5) / heat.width, (y + 0.5) / heat.height);
      const share = high > low ? (value - low) / (high - low) : 0;
      [heat.data[i], heat.data[i + 1], heat.data[i + 2]] = HEAT;
      heat.data[i + 3] = 200 * share ** 1.5;
    }
  }
  pen.putImageData(heat, left, top);
  const cell = [(right - left) / side, (bottom - top) / side];
  const frame = (i) => [left + (i % side) * cell[0], top + Math.floor(i / side) * cell[1], ...cell];
  pen.font = `${Math.max(10, cell[0] / 6)}px sans-serif`;
  pen.textAlign = "center";
  for (let i = 0; grid && i < values.length; i++) {
    const [x, y, w, h] = frame(i);
    pen.lineWidth = 1;
    pen.strokeStyle = "rgba(255, 255, 255, 0.8)";
    pen.strokeRect(x, y, w, h);
    if (cell[0] < 34) continue;
    pen.lineWidth = 3;
    pen.strokeStyle = "rgba(0, 0, 0, 0.8)";
    pen.strokeText(written(values[i], data), x + w / 2, y + h / 2);
    pen.fillStyle = "#fff";
    pen.fillText(written(values[i], data), x + w / 2, y + h / 2);
  }
  for (const [colour, line] of [["#000", 5], ["#fff", 2.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.strokeRect(...frame(values.indexOf(high)));
  }
}

const listening = new WeakMap();
/** Hear keys that are pressed in an element, before a notebook takes them for its own: it deletes cells by "d, d". */
function hearKeys(root, act, alone = false) {
  listening.get(root)?.abort();
  const stop = new AbortController();
  listening.set(root, stop);
  window.addEventListener("keydown", (event) => {
    if (!root.contains(event.target) && !(alone && event.target === document.body)) return;
    // Those with Ctrl or the like are the program's, such as to save the notebook; but Enter runs a cell.
    if (!(event.ctrlKey || event.metaKey || event.altKey) || event.key === "Enter") event.stopPropagation();
    act(event);
  }, { capture: true, signal: stop.signal });
}

/**
 * Show photos with their tags.
 * @param root element to fill
 * @param data what `gallery.gallery_data` gives
 * @param tell called with {answers} or {shift} when a person has changed them
 * @param given {shift, filter, sort, answers} to begin with; alone: whether all keys of the page are for it
 */
export function gallery(root, data, tell = () => {}, { alone = false, answers: before = [], ...given } = {}) {
  const state = { shift: 0, filter: "", sort: "order", grid: false, overlay: true, ...given };
  const answers = new Map(before);
  const { photos, labels } = data;
  const within = (shift) => Math.min(data.highest, Math.max(data.lowest, shift));
  state.shift = within(state.shift);
  const rowOf = new Map(photos.map((photo, row) => [photo, row]));
  const key = (photo, label) => `${rowOf.get(photo)} ${label}`;
  const isTag = (photo, [label, score]) => answers.get(key(photo, label)) ?? score >= data.least[label] + state.shift;
  const tagsOf = (photo) => {
    const own = photo.tags.filter((tag) => isTag(photo, tag));
    const kept = data.topK ? own.filter((t, i) => i < data.topK || answers.get(key(photo, t[0]))) : own;
    const added = [...answers].filter(([k, yes]) => yes && +k.split(" ")[0] === rowOf.get(photo));
    const known = new Set(photo.tags.map(([label]) => label));
    return [...kept, ...added.map(([k]) => [+k.split(" ")[1], null]).filter(([label]) => !known.has(label))];
  };
  // How near a tag that nobody has answered about is to being none, or the other way round.
  const near = (photo, [label, score]) =>
    (answers.has(key(photo, label)) ? Infinity : Math.abs(score - data.least[label] - state.shift));
  const unsure = (photo) => Math.min(...photo.tags.map((tag) => near(photo, tag)));

  const slider = make("input", { type: "range", min: data.lowest, max: data.highest, step: "any", value: state.shift });
  const value = make("output");
  const reset = make("button", { type: "button", textContent: "reset", title: "the threshold it began with" });
  const filter = make("select");
  const sort = make("select");
  const counts = make("p", { className: "counts" });
  counts.setAttribute("aria-live", "polite");
  const help = make("details", { className: "keys" }, make("summary", {}, "keys"),
    make("dl", {}, ...KEYS.flatMap(([k, what]) => [make("dt", {}, k), make("dd", {}, what)])));
  const list = make("ol", { className: "photos" });
  const viewer = make("dialog", { className: "viewer" });
  const bar = make("div", { className: "bar" },
    make("label", {}, "threshold", slider, value), reset,
    make("label", {}, "show", filter), make("label", {}, "sort", sort), counts, help);
  root.classList.add("comc-gallery");
  root.replaceChildren(bar, list, viewer);

  const ORDERS = {
    order: ["as they come", () => 0],
    score: ["highest score first", (a, b) => scoreOf(b) - scoreOf(a)],
    number: ["most tags first", (a, b) => tags.get(b).length - tags.get(a).length],
    unsure: ["least sure first", (a, b) => unsure(a) - unsure(b)],
    name: ["by name", (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)],
  };
  for (const [name, [text]] of Object.entries(ORDERS)) sort.append(make("option", { value: name }, text));
  if (!Object.hasOwn(ORDERS, state.sort)) state.sort = "order";
  sort.value = state.sort;

  function scoreOf(photo) {
    const of = photo.tags.filter(([label]) => state.filter === "" || state.filter === "none" || label === +state.filter);
    return of.length ? of[0][1] : -Infinity;
  }

  // A photo's card stays the same element, so that what has the focus keeps it.
  const cards = new Map(photos.map((photo) => {
    const picture = make("img", { src: photo.src, alt: photo.name, loading: "lazy" });
    const open = make("button", { type: "button", className: "open", onclick: () => look(photo) }, picture);
    const tags = make("ul", { className: "tags" });
    return [photo, { item: make("li", {}, open, make("p", { className: "name", title: photo.name }, make("bdi", { dir: "ltr" }, photo.name)), tags), open, tags }];
  }));

  function chip(photo, [label, score]) {
    const answer = answers.get(key(photo, label));
    const text = score === null ? labels[label] : `${labels[label]} ${written(score, data)}`;
    const mark = answer === undefined ? "" : answer ? " \u2713" : " \u2717";
    return make("li", { className: answer === undefined ? "" : "answered" }, text + mark);
  }

  let tags; // of each photo, now
  let shown = [];
  let order = null; // while a photo is looked at, answers do not change which one is next
  function redraw() {
    const number = new Array(labels.length).fill(0);
    let none = 0, all = 0;
    tags = new Map(photos.map((photo) => [photo, tagsOf(photo)]));
    for (const own of tags.values()) {
      none += !own.length;
      all += own.length;
      for (const [label] of own) number[label]++;
    }
    const options = [["", `all photos (${photos.length})`], ["none", `no tag (${none})`]];
    const known = labels.map((_, i) => i).filter((i) => number[i] || String(i) === state.filter)
      .sort((a, b) => number[b] - number[a]);
    options.push(...known.map((i) => [String(i), `${labels[i]} (${number[i]})`]));
    filter.replaceChildren(...options.map(([v, text]) => make("option", { value: v }, text)));
    filter.value = state.filter;
    shown = order ?? photos.filter((photo) => {
      const own = tags.get(photo);
      if (state.filter === "none") return !own.length;
      return state.filter === "" || own.some(([label]) => label === +state.filter);
    }).sort(ORDERS[state.sort][1]);
    for (const photo of shown) {
      const chips = tags.get(photo).map((tag) => chip(photo, tag));
      cards.get(photo).tags.replaceChildren(...(chips.length ? chips : [make("li", { className: "none" }, "none of the labels")]));
    }
    const items = shown.map((photo) => cards.get(photo).item);
    if (items.length !== list.children.length || items.some((item, i) => item !== list.children[i])) {
      const focus = document.activeElement;
      list.replaceChildren(...items);
      if (list.contains(focus)) focus.focus();
    }
    const same = data.least.every((least) => least === data.least[0]);
    value.value = same ? written(data.least[0] + state.shift, data) : `each its own ${state.shift < 0 ? "\u2212" : "+"} ${Math.abs(state.shift).toFixed(2)}`;
    const mean = photos.length ? (all / photos.length).toFixed(2) : "0";
    const said = answers.size ? `; ${answers.size} answered` : "";
    counts.textContent = `${shown.length} of ${photos.length} photos shown; ${mean} tags a photo${said}`;
  }

  function change(what) {
    Object.assign(state, what);
    redraw();
    if ("shift" in what) {
      slider.value = state.shift;
      tell({ shift: state.shift });
    }
    tell({ state });
  }
  slider.oninput = () => change({ shift: +slider.value });
  reset.onclick = () => change({ shift: 0 });
  filter.onchange = () => change({ filter: filter.value });
  sort.onchange = () => change({ sort: sort.value });

  function say(photo, label, answer) {
    if (answer === undefined) answers.delete(key(photo, label));
    else answers.set(key(photo, label), answer);
    redraw();
    tell({ answers: [...answers] });
  }

  // One photo, large.
  let seen = null;
  let at = 0;
  function look(photo, label) {
    seen = photo;
    order = shown;
    at = Math.max(0, photo.tags.findIndex(([l]) => l === label));
    if (label === undefined && state.sort === "unsure") {
      at = photo.tags.reduce((best, tag, i) => (near(photo, tag) < near(photo, photo.tags[best]) ? i : best), 0);
    }
    drawViewer();
    if (!viewer.open) viewer.showModal();
  }
  viewer.onclose = () => {
    const last = cards.get(seen);
    const next = order.slice(order.indexOf(seen));
    seen = order = null;
    redraw();
    const there = last.item.isConnected ? last : cards.get(next.find((photo) => shown.includes(photo)) ?? shown.at(-1));
    there?.open.focus();
  };
  viewer.onclick = (event) => {
    const { left, right, top, bottom } = viewer.getBoundingClientRect();
    const inside = left <= event.clientX && event.clientX <= right && top <= event.clientY && event.clientY <= bottom;
    if (event.target === viewer && !inside) viewer.close();
  };

  function drawViewer() {
    const photo = seen;
    const picture = make("img", { src: photo.src, alt: photo.name });
    const canvas = make("canvas");
    const stage = make("div", { className: "stage" }, picture, canvas);
    const caption = make("p", { className: "where" });
    const values = photo.tags.length ? regionsOf(photo, at) : null;
    if (values && (state.overlay || state.grid)) {
      const scale = 768 / Math.max(photo.width, photo.height);
      canvas.width = Math.round(photo.width * scale);
      canvas.height = Math.round(photo.height * scale);
      drawOverlay(canvas, photo, values, data, state);
      const highest = Math.max(...values);
      const where = values.indexOf(highest);
      caption.textContent = `${labels[photo.tags[at][0]]}: the framed region scores ${written(highest, data)} by itself `
        + `(row ${Math.floor(where / photo.side) + 1}, column ${(where % photo.side) + 1} of ${photo.side})`
        + (photo.seen.join() === "0,0,1,1" ? "" : "; dark: not looked at");
    } else caption.textContent = values ? "" : data.noRegions;
    const rows = photo.tags.map(([label, score], i) => {
      const answer = answers.get(key(photo, label));
      const choose = make("button", { type: "button", className: "label", onclick: () => { at = i; drawViewer(); } },
        labels[label], make("span", {}, written(score, data)));
      choose.setAttribute("aria-pressed", i === at);
      const button = (text, title, yes) => {
        const b = make("button", { type: "button", textContent: text, title, onclick: () => { say(photo, label, answer === yes ? undefined : yes); drawViewer(); } });
        b.setAttribute("aria-pressed", answer === yes);
        b.setAttribute("aria-label", `${labels[label]}: ${title}`);
        return b;
      };
      return make("li", { className: isTag(photo, [label, score]) ? "tag" : "" }, choose, button("\u2713", "right", true), button("\u2717", "wrong", false));
    });
    const own = new Set(photo.tags.map(([label]) => label));
    const added = tags.get(photo).filter(([label]) => !own.has(label));
    for (const [label] of added) {
      const back = make("button", { type: "button", textContent: "\u2713", title: "take the answer back", onclick: () => { say(photo, label, undefined); drawViewer(); } });
      back.setAttribute("aria-pressed", true);
      back.setAttribute("aria-label", `${labels[label]}: take the answer back`);
      rows.push(make("li", { className: "tag" }, make("span", { className: "label" }, labels[label]), back));
      own.add(label);
    }
    const rest = labels.map((name, i) => [name, i]).filter(([, i]) => !own.has(i));
    const other = make("select", {}, ...rest.map(([name, i]) => make("option", { value: i }, name)));
    other.setAttribute("aria-label", "another label");
    const add = make("p", { className: "buttons" }, other,
      make("button", { type: "button", textContent: "is right, too", onclick: () => { say(photo, +other.value, true); drawViewer(); } }));
    const toggle = (text, name) => {
      const b = make("button", { type: "button", textContent: text, onclick: () => { state[name] = !state[name]; drawViewer(); } });
      b.setAttribute("aria-pressed", state[name]);
      return b;
    };
    const close = make("button", { type: "button", className: "close", textContent: "\u00d7", onclick: () => viewer.close() });
    close.setAttribute("aria-label", "close");
    const links = photo.href ? [make("a", { href: photo.href, target: "_blank", rel: "noopener" }, "open the file")] : [];
    const side = make("div", { className: "side" },
      make("p", { className: "name" }, photo.name),
      make("p", { className: "buttons" }, ...(values ? [toggle("overlay", "overlay"), toggle("grid", "grid")] : []), ...links),
      make("ul", { className: "labels" }, ...rows), ...(rest.length ? [add] : []));
    const focused = [...viewer.querySelectorAll("button, select")].indexOf(document.activeElement);
    viewer.replaceChildren(close, make("div", { className: "large" }, stage, caption), side);
    viewer.querySelectorAll("ul.labels > li")[at]?.scrollIntoView({ block: "nearest" });
    viewer.tabIndex = -1;
    (viewer.querySelectorAll("button, select")[focused] ?? viewer).focus();
  }

  function step(by) {
    const i = shown.indexOf(seen) + by;
    const label = seen.tags[at]?.[0];
    if (shown[i]) look(shown[i], state.filter === "" || state.filter === "none" ? undefined : label);
  }

  hearKeys(root, (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("select, input:not([type=range]), textarea");
    const keys = {};
    if (viewer.open && !typing) {
      const label = seen.tags[at]?.[0];
      const mark = (yes) => () => { if (label !== undefined) { say(seen, label, yes); drawViewer(); } };
      Object.assign(keys, {
        ArrowLeft: () => step(-1), ArrowRight: () => step(1),
        ArrowUp: () => { at = Math.max(0, at - 1); drawViewer(); },
        ArrowDown: () => { at = Math.max(0, Math.min(seen.tags.length - 1, at + 1)); drawViewer(); },
        g: () => { state.grid = !state.grid; drawViewer(); }, o: () => { state.overlay = !state.overlay; drawViewer(); },
        y: mark(true), n: mark(false), u: mark(undefined),
      });
    } else if (list.contains(event.target)) {
      const buttons = shown.map((photo) => cards.get(photo).open);
      const i = buttons.indexOf(event.target.closest(".open"));
      const row = buttons.filter((b) => b.getBoundingClientRect().top === buttons[0].getBoundingClientRect().top).length || 1;
      const go = (by) => () => buttons[Math.min(Math.max(i + by, 0), buttons.length - 1)]?.focus();
      Object.assign(keys, { ArrowLeft: go(-1), ArrowRight: go(1), ArrowUp: go(-row), ArrowDown: go(row), Home: go(-i), End: go(buttons.length) });
    }
    if (!typing) {
      const width = (data.highest - data.lowest) / 50;
      const move = (by) => () => { change({ shift: within(state.shift + by) }); if (viewer.open) drawViewer(); };
      Object.assign(keys, { "[": move(-width), "]": move(width) });
    }
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  }, alone);
  redraw();
  return { answers, state };
}
