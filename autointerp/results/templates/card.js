// How is the card of one latent laid out?
function buildCard(entry, context) {
  const { umap, noun, siblings, place, total, go } = context;
  const card = entry.card === null ? null : readJson(`card-data-${entry.card}`);
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const head = h("header", {},
    h("p", { class: "crumb" }, h("span", { class: "num" }, `latent ${entry.latent}`),
      h("span", { class: `kind-mark kind-${/^[a-z]+$/.test(entry.kind) ? entry.kind : "unknown"}` }, entry.kind),
      siblings.length > 1
        ? h("span", { class: "siblings" }, siblings.map((other) => h("button", { type: "button", "aria-pressed": String(other === entry), on: { click: () => go(other) } }, other.explainer)))
        : null),
    h("nav", { "aria-label": "Cards" }, h("span", { class: "muted num place" }, place < 0 ? "" : `${count(place + 1)} of ${count(total)}`),
      h("button", { type: "button", id: "previous", disabled: place <= 0, title: "Previous (←)", "aria-label": "Previous latent", on: { click: () => context.step(-1) } }, "←"),
      h("button", { type: "button", id: "next", disabled: place < 0 || place >= total - 1, title: "Next (→)", "aria-label": "Next latent", on: { click: () => context.step(1) } }, "→"),
      h("button", { type: "button", id: "close", title: "Close (Esc)", "aria-label": "Close the card", on: { click: context.close } }, "✕")));
  const intro = h("div", { class: "intro" }, h("h2", { id: "card-title", tabindex: "-1" }, entry.title || "No label"),
    entry.description ? h("p", { class: "description" }, entry.description) : null,
    entry.reason ? h("p", { class: "notice" }, h("strong", {}, entry.status), ": ", entry.reason) : entry.status === "abstained" ? h("p", { class: "notice" }, "The label writer saw no common theme and abstained.") : null,
    familyNote(entry),
    h("dl", { class: "facts" }, fact("firing rate", percent(entry.rate)),
      card ? [fact(`active ${noun}s`, count(card.n_active)), known(card.confidence) ? fact("confidence", fixed(card.confidence)) : null] : null,
      fact("margin", signed(entry.margin)), fact("labels by", entry.explainer), card && card.model ? fact("model", card.model) : null,
      card && card.titled ? [card.titled.term ? fact("term", card.titled.term) : null, card.titled.gene_set ? fact("gene set", card.titled.gene_set) : null,
        known(card.titled.agreement) ? fact("samples agree", fixed(card.titled.agreement)) : null] : null));
  if (!card) {
    return { element: h("article", {}, head, intro, h("p", { class: "notice" }, "Only the latents with the highest AUROC have a full card here. The rest is in labels.csv, scores.csv and latents.h5ad.")), redraw() {} };
  }
  const picture = umapSection(card, umap);
  const element = h("article", {}, head,
    h("div", { class: "upper" },
      h("div", { class: "said" }, intro, claimsSection(card), scoresSection(card, entry), believedSection(card), verdictSection(entry, card, context.verdicts, context.judged)),
      h("div", { class: "seen" }, picture, activationSection(card, noun))),
    sheetsSection(entry, noun), turnedSection(card, noun), contrastSection(card, noun), breakdownSection(card, entry, noun), examplesSection(card, noun));
  return { element, redraw: () => picture && picture.redraw() };
}
