// How far may the label of a card be believed, by what develop items say? And which other latents have its title?
function believedSection(card) {
  const beliefs = card.beliefs || [];
  if (!beliefs.length) return null;
  const head = h("tr", {}, h("th", { scope: "col" }, "judge"), h("th", { scope: "col" }, "support"),
    h("th", { scope: "col", class: "num", title: "Detection AUROC against random silent items that chose labels and thresholds, not test." }, "AUROC, develop"),
    h("th", { scope: "col", class: "num", title: "95 % lower confidence bound; supported where it is above 0.5." }, "at least"),
    h("th", { scope: "col", class: "num", title: "Calibrated on other families of latents: the probability that the AUROC on test exceeds 0.75." }, "passes"));
  const rows = beliefs.map((b) => h("tr", { class: `is-${b.support.replace(" ", "-")}` }, h("th", { scope: "row" }, b.judge),
    h("td", {}, b.support, b.reason ? h("span", { class: "muted small" }, ` ${words(b.reason)}`) : null),
    h("td", { class: "num" }, fixed(b.auroc)), h("td", { class: "num" }, fixed(b.low)),
    h("td", { class: "num strong" }, known(b.calibrated) ? percent(b.calibrated) : "–")));
  return section("believed", "May it be believed?", "before any look at test items",
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))));
}

// The other latents of a title: they fire together, and one stands for them.
function familyNote(entry) {
  if (entry.family === null || entry.family === undefined || entry.family === entry.latent) return null;
  return h("p", { class: "notice family" }, `Fires together with latent ${entry.family}, which has the same title and stands for both.`);
}
