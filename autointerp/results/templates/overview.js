// How are the headline numbers of all latents spread, beside those of shuffled labels?
function overview(rows) {
  const values = rows.map((r) => r.value).filter(known), shuffled = rows.map((r) => r.shuffled).filter(known);
  const figure = byId("distribution");
  if (values.length < 2) {
    figure.replaceChildren();
    return;
  }
  const lowest = Math.min(0.4, ...values, ...shuffled), bins = 24;
  const low = Math.max(0, Math.floor(lowest * 10) / 10), width = 340, height = 150, base = 104, left = 6, right = 334;
  const tally = (list) => list.reduce((counts, v) => {
    counts[clamp(Math.floor(((v - low) / (1 - low)) * bins), 0, bins - 1)] += 1;
    return counts;
  }, new Array(bins).fill(0));
  const ours = tally(values), theirs = tally(shuffled);
  const peak = Math.max(...ours), peakBelow = Math.max(1, ...theirs);
  const x = (v) => left + (right - left) * ((v - low) / (1 - low)), step = (right - left) / bins;
  const middle = (list) => {
    const sorted = [...list].sort((a, b) => a - b), half = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
  };
  const chart = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${values.length} scored labels, median AUROC ${fixed(middle(values))}` +
      (shuffled.length ? `; shuffled labels, median ${fixed(middle(shuffled))}` : "") });
  const up = 78, down = 26;
  ours.forEach((n, i) => n && chart.append(s("rect", { class: "ours", x: left + i * step + 0.75, width: step - 1.5,
    y: base - (up * n) / peak, height: (up * n) / peak, rx: 1 })));
  theirs.forEach((n, i) => n && chart.append(s("rect", { class: "theirs", x: left + i * step + 0.75, width: step - 1.5,
    y: base + 1, height: (down * n) / peakBelow, rx: 1 })));
  chart.append(s("line", { class: "base", x1: left, x2: right, y1: base + 0.5, y2: base + 0.5 }));
  const median = middle(values), mx = x(median);
  chart.append(s("line", { class: "median", x1: mx, x2: mx, y1: 16, y2: base }));
  chart.append(s("text", { class: "median-text", x: mx > width - 60 ? mx - 4 : mx + 4, y: 16,
    "text-anchor": mx > width - 60 ? "end" : "start" }, `median ${fixed(median)}`));
  for (const v of low < 0.45 ? [low, 0.5, 0.75, 1] : [0.5, 0.75, 1]) {
    chart.append(s("line", { class: "grid", x1: x(v), x2: x(v), y1: base - 2, y2: base + 2 }));
    chart.append(s("text", { x: x(v), y: height - 3, "text-anchor": v === 1 ? "end" : v === low ? "start" : "middle" }, String(v)));
  }
  figure.replaceChildren(chart, h("figcaption", {},
    h("span", { class: "key key-value" }, `${count(values.length)} labels`),
    shuffled.length ? h("span", { class: "key key-shuffled" }, "shuffled labels, mirrored") : null,
    h("span", { class: "muted" }, "AUROC, random negatives")));
}
