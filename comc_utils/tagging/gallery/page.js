
// The page: what is chosen stays in the address, so that it goes along to the next page, and answers can be saved.
const data = JSON.parse(document.getElementById("data").textContent);
const save = document.getElementById("save");
const asked = new URLSearchParams(location.hash.slice(1));
const given = {};
if (Number.isFinite(parseFloat(asked.get("shift")))) given.shift = parseFloat(asked.get("shift"));
if (asked.get("show") === "no tag") given.filter = "none";
else if (data.labels.includes(asked.get("label"))) given.filter = String(data.labels.indexOf(asked.get("label")));
if (asked.has("sort")) given.sort = asked.get("sort");
let unsaved = false;

function keep({ shift, filter, sort }) {
  const show = filter === "none" ? { show: "no tag" } : filter === "" ? {} : { label: data.labels[+filter] };
  const hash = `#${new URLSearchParams({ shift, ...show, sort })}`;
  history.replaceState(null, "", hash);
  for (const link of document.querySelectorAll("nav a.page")) link.hash = hash;
}

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

const shown = gallery(document.getElementById("gallery"), data, (what) => {
  if (what.state) keep(what.state);
  if (what.answers) {
    unsaved = what.answers.length > 0;
    save.hidden = !unsaved;
    save.textContent = `save ${what.answers.length === 1 ? "one answer" : `${what.answers.length} answers`} as a file`;
  }
}, { ...given, alone: true });
if (location.hash.length > 1) keep(shown.state);

save.onclick = () => {
  const rows = [...shown.answers].map(([key, yes]) => {
    const [photo, label] = key.split(" ").map(Number);
    return [cell(data.photos[photo].name), cell(data.labels[label]), yes ? 1 : 0].join(",");
  });
  download("answers.csv", `file,label,answer\n${rows.join("\n")}\n`);
  unsaved = false;
};
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
