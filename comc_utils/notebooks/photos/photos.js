
// Your photos: drop them, type labels, see tags, correct some. Everything goes to the program on this machine.
const PIECE = 4 * 2 ** 20; // bytes a message: below every server's limit
const MOST = 200 * 2 ** 20;
const PATIENCE = 20000; // milliseconds without an answer

function render({ model, el }) {
  const folders = model.get("folder"); // whether folders of this machine may be named
  const drop = make("div", { className: "drop" });
  const chooser = make("input", { type: "file", multiple: true, accept: "image/*,.heic,.avif" });
  drop.append(make("label", {}, "Drop photos here, or choose them: ", chooser));
  const folder = make("input", { type: "text", placeholder: "photos/", spellcheck: false });
  const words = make("textarea", { rows: 4, placeholder: "dog\npark bench\njogger = a person jogging", spellcheck: false });
  const go = make("button", { type: "button", className: "go", textContent: "Tag" });
  const log = make("ul", { className: "log" });
  log.setAttribute("aria-live", "polite");
  const lost = make("p", { className: "lost", hidden: true });
  lost.setAttribute("role", "alert");
  lost.textContent = "The program does not answer. "
    + (folders ? "If another cell is running, wait for it. If the kernel was restarted, run this cell again" : "If it was stopped, start it again and reload this page")
    + ": photos, labels and answers then have to be given once more.";
  const methods = make("p", { className: "methods", hidden: true });
  const tools = make("p", { className: "tools", hidden: true });
  const place = make("div");
  const form = make("div", { className: "form" }, make("div", {}, drop,
    ...(folders ? [make("label", { className: "folder" }, "or a folder of this machine: ", folder)] : [])),
    make("label", { className: "words" }, "Labels, a line each or with commas between:", words), go);
  el.classList.add("comc-photos", "comc-gallery", ...(folders ? [] : ["alone"]));
  el.append(lost, form, log, methods, tools, place);

  const say = (text, kind = "") => {
    const last = log.lastElementChild;
    if (kind === "moving" && last?.className === "moving") last.textContent = text;
    else log.append(make("li", { className: kind }, text));
    while (log.children.length > 6) log.firstElementChild.remove();
  };
  const send = (what, buffers = []) => model.send(what, undefined, buffers);

  // Each piece is sent when the last one has arrived.
  let waiting = null;
  const arrived = () => new Promise((resolve) => { waiting = resolve; });
  let bytes = 0;
  async function upload(list) {
    const sum = list.reduce((total, file) => total + file.size, 0);
    if (bytes + sum > MOST) {
      say(`These photos have ${Math.ceil((bytes + sum) / 2 ** 20)} MB together, and 200 MB at most can be dropped; drop fewer, `
        + (folders ? "or name their folder." : "or take the command: python -m comc_utils tag --help."), "error");
      return;
    }
    for (const [i, file] of list.entries()) {
      say(`Photo ${i + 1} of ${list.length}: ${file.name}`, "moving");
      const parts = Math.max(1, Math.ceil(file.size / PIECE));
      for (let part = 0; part < parts; part++) {
        let piece;
        try {
          piece = await file.slice(part * PIECE, (part + 1) * PIECE).arrayBuffer();
        } catch {
          say(`${file.name} cannot be read: it may be a folder, or have been moved; drop the photos themselves.`, "error");
          break;
        }
        const taken = arrived();
        send({ kind: "photo", name: file.name, part, parts }, [piece]);
        await taken;
      }
    }
    send({ kind: "photos-end" });
  }
  let queue = Promise.resolve();
  const take = (files) => { const list = [...files]; queue = queue.then(() => upload(list)); }; // they may be cleared
  chooser.onchange = () => { take(chooser.files); chooser.value = ""; };
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  // Beside the field a browser would leave the page for the photo.
  for (const name of ["dragover", "drop"]) el.addEventListener(name, (event) => event.preventDefault());
  go.onclick = () => { queue.then(() => send({ kind: "tag", labels: words.value, folder: folder.value })); };
  hearKeys(el, (event) => { if (event.target === words && event.key === "Enter" && (event.ctrlKey || event.metaKey)) go.click(); });

  const tool = (text, title, act) => make("button", { type: "button", textContent: text, title, onclick: act });
  const calibrate = tool("Calibrate", "make scores probabilities by your answers: ten or more", () => send({ kind: "calibrate" }));
  tools.append(calibrate, ...[["csv", "Save tags (CSV)"], ["json", "Save tags (JSON)"], ["sidecars", "Save sidecars (XMP)"], ["answers", "Save answers"]]
    .map(([file, text]) => tool(text, "", () => send({ kind: "export", file }))),
    ...(folders ? [tool("Write sidecars beside the photos", "keywords of others stay", () => send({ kind: "write-sidecars" }))] : []));

  const NAMES = { "zero-shot": "CLIP's prompts", comc: "CoMC" };
  function showMethods({ methods: known, method, scores }) {
    methods.hidden = false;
    methods.replaceChildren("tags by ", ...known.map((name) => {
      const b = tool(NAMES[name], "", () => send({ kind: "method", method: name }));
      b.setAttribute("aria-pressed", name === method);
      return b;
    }), `scores are ${scores}`);
  }

  let heard = Date.now();
  const pulse = setInterval(() => {
    lost.hidden = Date.now() - heard < PATIENCE;
    try { send({ kind: "ping" }); } catch { lost.hidden = false; }
  }, 4000);
  let view = {};
  model.on("msg:custom", (message, buffers) => {
    heard = Date.now();
    lost.hidden = true;
    if (message.kind === "got") { bytes = message.bytes; waiting?.(); waiting = null; }
    if (message.kind === "say") say(message.text, message.how);
    if (message.kind === "methods") showMethods(message);
    if (message.kind === "busy") { for (const part of [go, methods, tools, place]) part.inert = part.disabled = message.busy; }
    if (message.kind === "gallery") {
      tools.hidden = false;
      const { made, data } = message; // an answer is about the tags that were there when it was given
      const tell = (what) => {
        if (what.state) view = { filter: what.state.filter, sort: what.state.sort };
        if (what.answers) send({ kind: "answers", answers: what.answers, made });
        if ("shift" in what) send({ kind: "shift", shift: what.shift, made });
      };
      const known = message.same ? view : {};
      gallery(place, data, tell, { ...known, shift: data.shift, answers: data.answers });
    }
    if (message.kind === "file") download(message.name, buffers[0]);
  });
  return () => { clearInterval(pulse); for (const root of [el, place]) listening.get(root)?.abort(); };
}

export default { render };
