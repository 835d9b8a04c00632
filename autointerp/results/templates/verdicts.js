// What does a reader say of a label? Kept in this browser under the run's id, exported as a table that --explainer file:FILE reads.
const CHOICES = [["accepted", "accept"], ["edited", "edit"], ["rejected", "reject"], ["artefact", "artefact"]];
const VERDICT_COLUMNS = ["run_id", "latent", "explainer", "label_id", "verdict", "comment", "title", "description", "kind", "key_features", "saw_edits"];

const signedFeatures = (features) => features.map((f) => f.name + (f.direction === "down" ? "-" : "+")).join("; ");
// No spreadsheet may run a cell as a formula: the apostrophe is what Python's tables put there, and what it takes off again.
const safeCell = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function verdictStore(run) {
  const place = `autointerp verdicts ${run}`, key = (entry) => JSON.stringify([entry.explainer, entry.latent, entry.id || ""]);
  let said = {}, kept = true;
  try {
    const stored = JSON.parse(localStorage.getItem(place) || "{}");
    if (stored && typeof stored === "object" && !Array.isArray(stored)) said = stored;
  } catch {
    kept = false;
  }
  const of = (entry) => (Object.hasOwn(said, key(entry)) ? said[key(entry)] : null);
  function put(entry, verdict) {
    if (verdict) said[key(entry)] = verdict;
    else delete said[key(entry)];
    try {
      localStorage.setItem(place, JSON.stringify(said));
    } catch {
      kept = false;
    }
  }
  // A row a verdict on a label of this page, in the table's order; what was said of labels that are gone stays behind.
  function csv(rows) {
    const lines = rows.filter(of).map((entry) => {
      const v = of(entry), text = { ...v, run_id: run, latent: String(entry.latent), explainer: entry.explainer, label_id: entry.id || "" };
      if (v.verdict === "artefact") text.kind = "technical";
      return VERDICT_COLUMNS.map((name) => quoted(safeCell(String(text[name] ?? "")))).join(",");
    });
    return [VERDICT_COLUMNS.join(","), ...lines].join("\r\n") + "\r\n";
  }
  return { of, put, csv, kept: () => kept };
}

function verdictSection(entry, card, verdicts, changed) {
  // Who reads a card that shows what an edit does can no more be tested by edits.
  const own = { title: entry.plain || entry.title, description: entry.description, kind: entry.kind, key_features: signedFeatures(card.key_features), saw_edits: card.turned ? "true" : "" };
  const now = () => verdicts.of(entry);
  const field = (name, label, tag) => {
    const input = h(tag, { id: `verdict-${name}`, rows: tag === "textarea" ? "2" : null, maxlength: "2000", autocomplete: "off" });
    input.value = (now() || own)[name] || "";
    input.addEventListener("input", () => now() && save({ ...now(), [name]: input.value }));
    return h("label", {}, h("span", { class: "muted small" }, label), input);
  };
  const edits = h("div", { class: "edits" }, field("title", "title", "input"), field("description", "description", "textarea"), field("key_features", "key features: GENE+; OTHER-", "input"));
  const comment = field("comment", "comment", "textarea");
  const lost = h("p", { class: "small bad", role: "status", hidden: true }, "This browser keeps nothing for this page: export before you close it.");
  const buttons = CHOICES.map(([name, text]) => h("button", { type: "button", "data-verdict": name, disabled: name === "accepted" && !own.title, on: { click: () => choose(name) } }, text));
  function choose(name) {
    const before = now();
    if (before && before.verdict === name) save(null);
    else save({ ...own, comment: comment.querySelector("textarea").value, ...(name === "edited" && before ? before : {}), verdict: name });
    if (name === "edited" && now()) edits.querySelector("input").focus();
  }
  function save(verdict) {
    verdicts.put(entry, verdict);
    show();
    changed();
  }
  function show() {
    const v = now();
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(Boolean(v) && b.dataset.verdict === v.verdict)));
    edits.hidden = !v || v.verdict !== "edited";
    comment.hidden = !v;
    lost.hidden = verdicts.kept();
  }
  const element = section("reader", "Your verdict", "kept in this browser until you export it", h("div", { class: "choices", role: "group", "aria-label": "Verdict" }, buttons), edits, comment, lost);
  show();
  return element;
}

function exportButton(rows, verdicts) {
  const button = h("button", { type: "button", id: "export-verdicts", title: "A CSV of your verdicts; score them with --explainer file:verdicts.csv" });
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([verdicts.csv(rows)], { type: "text/csv" }));
    h("a", { href: address, download: "verdicts.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
  const update = () => {
    const n = rows.filter(verdicts.of).length;
    button.textContent = `Export verdicts (${n})`;
    button.hidden = !n;
  };
  update();
  return { button, update };
}
