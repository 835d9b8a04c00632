// Which card does the address name? #latent-12, or #latent-12/explainer where several explainers label one latent.
const index = readJson("index-data"), umap = readJson("umap-data"), dialog = byId("card");
const severalExplainers = new Set(index.latents.map((r) => r.explainer)).size > 1;
const byLink = new Map();
for (const row of index.latents) {
  row.link = `#latent-${row.latent}${severalExplainers ? "/" + encodeURIComponent(row.explainer) : ""}`;
  byLink.set(row.link, row);
  if (!byLink.has(`#latent-${row.latent}`)) byLink.set(`#latent-${row.latent}`, row);
}
const home = () => location.href.split("#")[0];
let current = null, pushed = false, redraw = () => {};

const verdicts = verdictStore(index.run || ""), exported = exportButton(index.latents, verdicts);
byId("count").before(exported.button);
const table = latentTable(index.latents, (i) => follow(index.latents[i]), verdicts);
const spread = (explainer) => overview(index.latents.filter((r) => !explainer || r.explainer === explainer));
byId("filter-explainer").addEventListener("change", (event) => spread(event.target.value));
byId("reset").addEventListener("click", () => spread(""));
if (index.latents.filter((r) => known(r.value)).length < 2) byId("distribution").remove();
else spread("");

function follow(row) {
  if (location.hash === row.link) return;
  pushed = true;
  location.hash = row.link;
}

function replace(link) {
  history.replaceState(null, "", home() + link);
  route();
}

function step(by) {
  const order = table.order(), place = order.indexOf(index.latents.indexOf(current)) + by;
  if (place >= 0 && place < order.length) replace(index.latents[order[place]].link);
}

function close() {
  if (pushed) history.back();
  else replace("");
}

function route() {
  const row = byLink.get(location.hash) || null;
  if (!row) {
    pushed = false;
    const left = current;
    current = null;
    redraw = () => {};
    if (dialog.open) dialog.close();
    dialog.replaceChildren();
    if (left) table.focus(index.latents.indexOf(left));
    return;
  }
  if (row === current) return;
  current = row;
  const order = table.order();
  const siblings = index.latents.filter((other) => other.latent === row.latent);
  const built = buildCard(row, { umap, noun: index.noun, siblings, step, close, verdicts, judged: () => {
    exported.update();
    table.mark(index.latents.indexOf(row));
  },
    go: (other) => replace(other.link), place: order.indexOf(index.latents.indexOf(row)), total: order.length });
  const focused = document.activeElement && document.activeElement.id;
  dialog.replaceChildren(built.element);
  redraw = built.redraw;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const again = ["next", "previous"].includes(focused) && byId(focused);
  (again && !again.disabled ? again : byId("card-title")).focus();
  redraw();
}

dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  close();
});
// A browser may close a dialog without asking: the address follows. The event comes late: the card may be open again.
dialog.addEventListener("close", () => current && !dialog.open && close());
dialog.addEventListener("click", (event) => event.target === dialog && close());
dialog.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("pre, .scroll, input, textarea")) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
byId("table").addEventListener("click", (event) => {
  if (event.target.closest("a") && !event.ctrlKey && !event.metaKey && !event.shiftKey) pushed = true;
});
window.addEventListener("hashchange", route);
window.addEventListener("resize", () => redraw());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
route();
