// What does a card say of a latent? One function a section; each returns an element or null.
const VERDICTS = { supported: ["✓", "supported by the data"], contradicted: ["✗", "contradicted by the data"],
  "not measured": ["?", "not measured in these data"] };

const section = (name, title, note, ...children) => h("section", { class: `part ${name}` },
  h("h3", {}, title, note ? h("span", { class: "muted" }, note) : null), ...children);

// Shows the first few, with a button for the rest.
function folded(items, first, container) {
  container.append(...items.slice(0, first));
  if (items.length <= first) return container;
  const button = h("button", { type: "button", class: "quiet", on: { click: () => button.replaceWith(...items.slice(first)) } }, `${items.length - first} more`);
  container.append(button);
  return container;
}

function claimsSection(card) {
  if (!card.key_features.length) return null;
  const marks = card.key_features.map((f) => {
    const [mark, meaning] = VERDICTS[f.verdict] || ["", "not checked"];
    const known = f.verdict in VERDICTS ? f.verdict.replace(" ", "-") : "unchecked";
    return h("li", { class: `claim ${known}`, title: `${f.name} ${f.direction}: ${meaning}` },
      h("span", { class: "verdict", "aria-label": meaning, role: "img" }, mark), h("span", { class: "gene" }, f.name),
      h("span", { class: "direction" }, f.direction === "down" ? "↓" : "↑"));
  });
  const tally = Object.keys(VERDICTS).map((v) => [v, card.key_features.filter((f) => f.verdict === v).length])
    .filter(([, n]) => n).map(([v, n]) => `${n} ${v}`);
  return section("claims", "Claims", tally.join(", "), h("ul", {}, marks));
}

const metricName = (metric) => (metric === "auroc" ? "AUROC" : words(metric));

function scoresSection(card, entry) {
  // Without a label there is nothing to score: the notice above has said why.
  if (card.scores.every((score) => !known(score.value) && (!score.reason || score.reason === entry.reason))) return null;
  const width = window.innerWidth < 500 ? 84 : 190;
  const scale = scaleFrom(card.scores.filter((score) => known(score.value)).flatMap((score) => [score.value, score.ci_low].filter((v) => v >= 0)));
  const groups = new Map();
  for (const score of card.scores) {
    const name = [words(score.scorer), metricName(score.metric), score.judge].join(" · ");
    groups.set(name, [...(groups.get(name) || []), score]);
  }
  const methods = new Set();
  const rows = [...groups].map(([name, scores]) => [
    h("tr", { class: "group" }, h("th", { colspan: 8, scope: "rowgroup" }, name)),
    scores.map((score) => {
      const drawn = { ...score, low: score.ci_low, high: score.ci_high };
      const onScale = !["spearman", "pearson", "above_chance", "information_gain"].includes(score.metric) && known(score.value) && score.value >= 0 && score.value <= 1;
      if (score.ci_method) methods.add(score.ci_method);
      const name = score.negatives.replaceAll("_", "-");
      const range = known(score.ci_low) && known(score.ci_high) ? `${fixed(score.ci_low)}–${fixed(score.ci_high)}` : "";
      return h("tr", {}, h("th", { scope: "row" }, name),
        known(score.value)
          ? [h("td", { class: "num strong" }, fixed(score.value)), h("td", { class: "num muted range", title: score.ci_method || null }, range),
            h("td", { class: "mark" }, onScale ? intervalMark(drawn, scale, width) : null),
            h("td", { class: "num shuffled-ink" }, fixed(score.shuffled)), h("td", { class: "num ceiling-ink" }, fixed(score.ceiling)),
            h("td", { class: "num", title: "value minus max(chance, shuffled)" }, signed(score.margin)),
            h("td", { class: "num", title: "share of the ceiling's margin" }, fixed(score.share))]
          : h("td", { colspan: 7, class: "muted reason" }, score.reason || "no value"),
        h("td", { class: "num muted tally", title: `${count(score.n_pos)} active of ${count(score.n)} items; ${count(score.n_failed)} failed answers` },
          `${count(score.n_pos)}/${count(score.n)}`, score.n_failed ? h("span", { class: "bad" }, ` ${count(score.n_failed)} failed`) : null,
          known(score.value) && score.reason ? h("span", { class: "bad" }, ` ${words(score.reason)}`) : null));
    })]);
  const head = h("tr", {}, h("th", { scope: "col" }, "negatives"), h("th", { scope: "col", class: "num" }, "value"),
    h("th", { scope: "col", class: "num range" }, "95 %"), h("th", { scope: "col", class: "mark" }, axisMark(scale, width)), h("th", { scope: "col", class: "num shuffled-ink" }, "shuffled"),
    h("th", { scope: "col", class: "num ceiling-ink" }, "ceiling"), h("th", { scope: "col", class: "num" }, "margin"),
    h("th", { scope: "col", class: "num" }, "share"), h("th", { scope: "col", class: "num tally" }, "active/n"));
  return section("scores", "Scores", "on held-out items",
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
    methods.size ? h("p", { class: "small muted" }, `Intervals: ${[...methods].join("; ")}.`) : null);
}

function activationSection(card, noun) {
  if (!card.histogram || !card.histogram.counts.length) return null;
  const total = card.histogram.counts.reduce((a, b) => a + b, 0);
  return section("activation", "Activation", `${count(total)} active ${noun}s`, histogramMark(card.histogram));
}

function umapSection(card, umap) {
  if (!umap || !card.activations) return null;
  const shownActive = card.activations.rows.length;
  const canvas = h("canvas", { role: "img", "aria-label": `${umap.name}: ${shownActive} of ${umap.x.length} points active` });
  const peak = Math.max(0, ...card.activations.values);
  const element = section("umap", umap.name || "UMAP", `${count(shownActive)} of ${count(umap.x.length)} points active`, canvas,
    h("p", { class: "ramp small muted" }, h("span", { class: "silent" }, "silent"), h("span", {}, "0"), h("span", { class: "gradient" }), h("span", {}, short(peak))));
  element.redraw = () => drawUmap(canvas, umap, card.activations);
  return element;
}

function breakdownSection(card, entry, noun) {
  const columns = card.breakdown.filter((b) => b.values.length);
  if (!columns.length) return null;
  const blocks = columns.map(({ column, values }) => {
    const share = (v) => (v.n ? v.n_active / v.n : 0);
    const sorted = [...values].sort((a, b) => share(b) - share(a) || b.n - a.n);
    const most = Math.max(...sorted.map(share), entry.rate || 0) || 1;
    const rows = sorted.map((v) => {
      const drawn = bar("share", share(v) / most);
      const tick = h("span", { class: "overall" });
      tick.style.left = `${(100 * clamp((entry.rate || 0) / most, 0, 1)).toFixed(2)}%`;
      if (known(entry.rate)) drawn.append(tick);
      return h("li", { title: `${v.value}: active in ${count(v.n_active)} of ${count(v.n)}` }, h("span", { class: "name" }, v.value), drawn,
        h("span", { class: "num" }, percent(share(v))), h("span", { class: "num muted" }, count(v.n)));
    });
    return h("div", { class: "block" }, h("h4", {}, column), folded(rows, 10, h("ul", {})));
  });
  return section("breakdown", "Where it fires", `share of ${noun}s active, and number of ${noun}s; the tick is the overall rate`, h("div", { class: "blocks" }, blocks));
}

function contrastSection(card, noun) {
  if (!card.contrasts.length) return null;
  const named = new Set(card.key_features.map((f) => f.name));
  const blocks = card.contrasts.map((c) => {
    const most = Math.max(...[...c.up, ...c.down].map((f) => Math.abs(f.shift)), known(c.null) ? c.null : 0) || 1;
    const line = (f, side) => h("li", { class: named.has(f.name) ? "named" : null,
      title: `${f.name}: shift ${signed(f.shift)}, log2 fold change ${signed(f.log2fc)}` },
      h("span", { class: "gene" }, f.name), bar(side, Math.abs(f.shift) / most), h("span", { class: "num" }, signed(f.shift)),
      h("span", { class: "num shares" }, percent(f.share_active).replace(" %", ""), h("span", { class: "muted" }, ` | ${percent(f.share_silent).replace(" %", "")}`)));
    const empty = !c.up.length && !c.down.length;
    return h("div", { class: "block" },
      h("h4", {}, "against ", c.against, h("span", { class: "muted" }, `${count(c.n_active)} | ${count(c.n_silent)} ${noun}s`)),
      empty ? h("p", { class: "muted" }, "Nothing above what chance gives.") : [
        h("p", { class: "columns-head small muted" }, h("span", {}, ""), h("span", {}, ""), h("span", {}, "shift"), h("span", {}, "% active | silent")),
        folded(c.up.map((f) => line(f, "up")), 12, h("ul", {})),
        c.down.length ? folded(c.down.map((f) => line(f, "down")), 6, h("ul", { class: "lower" })) : null],
      known(c.null) ? h("p", { class: "small muted" }, `Chance alone reaches ${fixed(c.null)}.`) : null);
  });
  return section("contrasts", "Top features", "active against silent; features that the label names are underlined", h("div", { class: "blocks" }, blocks));
}

// Text with the named features marked, as text nodes.
function marked(text, named) {
  if (!named.size) return text;
  return String(text).split(/([A-Za-z0-9][A-Za-z0-9._-]*)/).map((piece) => (named.has(piece) ? h("mark", {}, piece) : piece));
}

function itemBlock(item, strength, named, caption) {
  const panel = (item.panel || []).length
    ? h("ul", { class: "panel" }, item.panel.map(([gene, value]) => h("li", { class: value > 0 ? null : "zero" }, h("span", { class: "gene" }, gene), h("span", { class: "num" }, known(value) ? short(value) : "–"))))
    : null;
  return h("div", { class: `item ${strength === null ? "silent" : "active"}` },
    h("p", { class: "item-head" }, h("span", { class: "id" }, item.id), h("span", { class: "muted" }, caption),
      strength === null ? null : h("span", { class: "strength", title: `strength ${strength} of 10` }, bar("share", strength / 10), h("span", { class: "num" }, strength))),
    h("pre", { tabindex: "0" }, marked(item.text, named)), panel);
}

function examplesSection(card, noun) {
  if (!card.examples.length) return null;
  const named = new Set(card.key_features.map((f) => f.name));
  const pairs = card.examples.map((e) => h("div", { class: "pair" }, itemBlock(e, e.strength, named, "active"),
    e.look_alike ? itemBlock(e.look_alike, null, named, "nearest silent") : h("div", { class: "item silent muted" }, "no look-alike")));
  return section("examples", "Examples", `active ${noun}s, each beside its nearest silent one`, folded(pairs, 6, h("div", { class: "pairs" })));
}
