// Which latents are shown, and in which order? Rows are made when first needed and kept.
const CHUNK = 200, BAR = 170;

const COLUMNS = [
  { name: "latent", text: "latent", class: "num", value: (r) => r.latent, hint: "Number of the latent in the dictionary." },
  { name: "title", text: "label", value: (r) => r.title || null, hint: "What the label says, and the features that it names." },
  { name: "kind", text: "kind", value: (r) => r.kind, hint: "Identity, state, perturbation, morphology, technical, mixed or unknown." },
  { name: "rate", text: "firing rate", class: "num", value: (r) => r.rate, down: true, hint: "Share of items in which the latent is active." },
  { name: "value", text: "AUROC, random", class: "wide", value: (r) => r.value, down: true,
    hint: "Detection AUROC against random silent items, 95 % interval, with the shuffled label and the ceiling as ticks." },
  { name: "neighbour", text: "neighbour", class: "num", value: (r) => r.neighbour, down: true,
    hint: "The same against the nearest silent items: the harder question." },
  { name: "margin", text: "margin", class: "num", value: (r) => r.margin, down: true,
    hint: "AUROC minus max(0.5, shuffled label): what the label itself adds." },
  { name: "share", text: "share", class: "num", value: (r) => r.share, down: true,
    hint: "(AUROC − 0.5) / (ceiling − 0.5): how much of what could be said the label says." },
  { name: "status", text: "status", value: (r) => r.status, hint: "Scored, or why there is no number." },
];

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function latentTable(data, open, verdicts) {
  const scale = scaleFrom(data.flatMap((r) => (known(r.value) ? [r.value, r.low] : [])));
  const several = new Set(data.map((r) => r.explainer)).size > 1;
  const texts = data.map((r) => [r.latent, r.title, r.description, r.kind, r.status, several ? r.explainer : "", ...r.features].join("\n").toLowerCase());
  const state = { terms: [], kind: "", status: "", explainer: "", sort: "value", down: true };
  const body = byId("table").tBodies[0], made = new Map();
  let view = [], shown = 0;

  function row(i) {
    if (made.has(i)) return made.get(i);
    const r = data[i], scored = known(r.value);
    const element = h("tr", { tabindex: "-1", "data-row": i, class: `is-${r.status.replace(" ", "-")}` },
      h("td", { class: "num latent" }, r.latent),
      h("td", { class: "label" },
        h("a", { href: r.link, tabindex: "-1", class: "title" }, r.title || h("span", { class: "muted" }, "no label")),
        several ? h("span", { class: "by" }, r.explainer) : null,
        h("span", { class: "sub" }, r.features.length ? r.features.slice(0, 8).join("  ") : r.reason || r.description)),
      h("td", { class: "kind" }, h("span", { class: `kind-mark kind-${/^[a-z]+$/.test(r.kind) ? r.kind : "unknown"}` }, r.kind)),
      h("td", { class: "num rate" }, percent(r.rate)),
      h("td", { class: "wide" }, scored ? [h("span", { class: "num figure" }, fixed(r.value)), intervalMark(r, scale, BAR)] : h("span", { class: "muted" }, "–")),
      h("td", { class: "num neighbour" }, fixed(r.neighbour)),
      h("td", { class: "num margin" }, signed(r.margin)),
      h("td", { class: "num share" }, fixed(r.share, 2)),
      h("td", { class: "status" }, h("span", { class: "status-mark", title: r.reason || null }, r.status),
        r.support === "unsupported" ? h("span", { class: "bad unsupported", title: "Develop items do not show that the label is better than guessing." }, "unsupported") : null,
        h("span", { class: "verdict-mark" })));
    made.set(i, element);
    mark(i);
    return element;
  }

  function mark(i) {
    const said = verdicts.of(data[i]);
    if (made.has(i)) made.get(i).querySelector(".verdict-mark").textContent = said ? `you: ${said.verdict}` : "";
  }

  function more() {
    if (shown >= view.length) return;
    body.append(...view.slice(shown, shown + CHUNK).map(row));
    shown = Math.min(view.length, shown + CHUNK);
  }

  function update() {
    const column = COLUMNS.find((c) => c.name === state.sort), sign = state.down ? -1 : 1;
    view = data.map((_, i) => i).filter((i) => {
      const r = data[i];
      return (!state.kind || r.kind === state.kind) && (!state.status || r.status === state.status) &&
        (!state.explainer || r.explainer === state.explainer) && state.terms.every((t) => texts[i].includes(t));
    });
    const order = (i, j) => {
      const a = column.value(data[i]), b = column.value(data[j]);
      const noA = a === null || a === undefined, noB = b === null || b === undefined;
      if (noA || noB) return noA - noB || i - j;
      return sign * (typeof a === "number" ? a - b : collator.compare(a, b)) || i - j;
    };
    view.sort(order);
    for (const element of body.querySelectorAll('tr[tabindex="0"]')) element.tabIndex = -1;
    body.replaceChildren();
    shown = 0;
    more();
    if (body.firstElementChild) body.firstElementChild.tabIndex = 0;
    byId("count").textContent = view.length === data.length ? `${count(data.length)} rows` : `${count(view.length)} of ${count(data.length)}`;
    byId("nothing").hidden = view.length > 0;
    for (const c of COLUMNS) c.head.setAttribute("aria-sort", c.name !== state.sort ? "none" : state.down ? "descending" : "ascending");
    byId("sort-choice").value = state.sort;
  }

  function sortBy(column, flip) {
    state.down = flip && state.sort === column.name ? !state.down : Boolean(column.down);
    state.sort = column.name;
    update();
  }

  function focusRow(element) {
    if (!element) return;
    for (const other of body.querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
    element.tabIndex = 0;
    element.focus();
    element.scrollIntoView({ block: "nearest" });
  }

  function choices(id, name, all) {
    const counts = new Map();
    for (const r of data) counts.set(r[name], (counts.get(r[name]) || 0) + 1);
    const select = byId(id);
    select.append(h("option", { value: "" }, all));
    for (const value of [...counts.keys()].sort(collator.compare)) select.append(h("option", { value }, `${value} (${counts.get(value)})`));
    select.addEventListener("change", () => {
      state[name] = select.value;
      update();
    });
  }

  for (const column of COLUMNS) {
    const button = h("button", { type: "button", title: column.hint, on: { click: () => sortBy(column, true) } }, column.text);
    column.head = h("th", { scope: "col", class: `${column.class || ""} head-${column.name}` }, button, column.name === "value" ? axisMark(scale, BAR) : null);
    byId("table").tHead.rows[0].append(column.head);
    byId("sort-choice").append(h("option", { value: column.name }, column.text));
  }
  byId("sort-choice").addEventListener("change", (event) => sortBy(COLUMNS.find((c) => c.name === event.target.value), false));
  choices("filter-kind", "kind", "all");
  choices("filter-status", "status", "all");
  choices("filter-explainer", "explainer", "all");
  byId("explainer-choice").hidden = !several;

  const search = byId("search");
  search.addEventListener("input", () => {
    state.terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    update();
  });
  byId("reset").addEventListener("click", () => {
    for (const id of ["search", "filter-kind", "filter-status", "filter-explainer"]) byId(id).value = "";
    Object.assign(state, { terms: [], kind: "", status: "", explainer: "" });
    update();
    search.focus();
  });
  body.addEventListener("click", (event) => {
    const element = event.target.closest("tr");
    if (!element || event.target.closest("a") || String(window.getSelection())) return;
    focusRow(element);
    open(Number(element.dataset.row));
  });
  body.addEventListener("keydown", (event) => {
    const element = event.target.closest("tr");
    if (!element) return;
    if (event.key === "ArrowDown") {
      if (!element.nextElementSibling) more();
      focusRow(element.nextElementSibling);
    } else if (event.key === "ArrowUp") focusRow(element.previousElementSibling);
    else if (event.key === "Home") focusRow(body.firstElementChild);
    else if (event.key === "Enter") open(Number(element.dataset.row));
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, dialog")) return;
    event.preventDefault();
    search.focus();
  });
  const toolbar = document.querySelector(".toolbar");
  new ResizeObserver(() => byId("table").style.setProperty("--toolbar", `${toolbar.offsetHeight}px`)).observe(toolbar);
  new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && more(), { rootMargin: "800px" }).observe(byId("more"));
  update();
  return { order: () => view, focus: (i) => focusRow(made.get(i)), mark };
}
