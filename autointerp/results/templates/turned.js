// What does a card say of a latent that was turned up in the model? What rises and falls, how well that is read, and σ by strength.
function doseMark(turned) {
  const width = 300, height = 120, left = 34, right = 8, top = 8, bottom = 18;
  const most = Math.max(...turned.doses.map((d) => d.s)), peak = Math.max(...turned.doses.map((d) => d.sigma), 1e-12);
  const x = (v) => left + (width - left - right) * (v / most), y = (v) => top + (height - top - bottom) * (1 - v / peak);
  const chart = s("svg", { class: "dose", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `σ rises to ${short(peak)} at strength ${short(most)}` });
  chart.append(s("line", { class: "rail", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    s("polyline", { class: "line", points: [[0, 0], ...turned.doses.map((d) => [d.s, d.sigma])].map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }),
    s("text", { x: left - 4, y: y(peak) + 4, "text-anchor": "end" }, short(peak)), s("text", { x: left - 4, y: y(0), "text-anchor": "end" }, "0"),
    s("text", { x: x(0), y: height - 4 }, "s = 0"), s("text", { x: x(most), y: height - 4, "text-anchor": "end" }, short(most)));
  for (const d of turned.doses) {
    chart.append(s("circle", { class: "dot", cx: x(d.s).toFixed(1), cy: y(d.sigma).toFixed(1), r: 3 },
      s("title", {}, `s ${short(d.s)}: σ ${short(d.sigma)}, ${percent(d.leaving)} left the data`)));
  }
  return chart;
}

function movedBlock(readout, noun) {
  const most = Math.max(...[...readout.up, ...readout.down].map((m) => Math.abs(m.change)), 1e-12);
  const line = (m, side) => h("li", { title: `${m.name}: ${signed(m.change)}; ${readout.each} ${fixed(m.quality)} on develop; dose–response ${fixed(m.dose)}` },
    h("span", { class: "gene" }, m.name), bar(side, Math.abs(m.change) / most), h("span", { class: "num" }, signed(m.change)),
    h("span", { class: "num muted" }, fixed(m.quality)));
  const unit = readout.unit === "sd" ? `change in sd of real ${noun}s` : `change of ${readout.unit}`;
  return h("div", { class: "block" }, h("h4", {}, readout.name, h("span", { class: "muted" }, `${unit} | ${readout.each}`)),
    readout.up.length ? h("ul", {}, readout.up.map((m) => line(m, "up"))) : h("p", { class: "small muted" }, "nothing rises"),
    readout.down.length ? h("ul", { class: "lower" }, readout.down.map((m) => line(m, "down"))) : null,
    h("p", { class: "small muted" }, `Read with ${readout.measure}: ${fixed(readout.quality)}.`));
}

function turnedSection(card, noun) {
  const turned = card.turned;
  if (!turned) return null;
  const page = turned.page ? h("p", { class: "small" }, h("a", { href: turned.page }, "All that changed"), ", with intervals.") : null;
  const wanted = known(turned.wanted) ? `σ = ${short(turned.wanted)} asked for` : "";
  if (turned.reason) {
    return section("turned", "Turned up, in the model", wanted, h("p", { class: "notice" }, turned.reason), page);
  }
  const figures = [`σ ${short(turned.found)} on develop, ${short(turned.reached)} on test ${noun}s (${turned.measured_on})`,
    known(turned.on_data) ? `${percent(turned.on_data)} of them stay on the data` : null].filter(Boolean).join("; ");
  const doses = turned.doses.length ? h("div", { class: "block" }, h("h4", {}, "dose and response", h("span", { class: "muted" }, "σ on test by strength")), doseMark(turned)) : null;
  return section("turned", "Turned up, in the model", wanted, h("p", { class: "small" }, `${figures}.`),
    h("div", { class: "blocks" }, turned.readouts.map((readout) => movedBlock(readout, noun)), doses), page);
}
