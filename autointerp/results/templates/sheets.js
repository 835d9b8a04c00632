// Which crops made a latent fire, and which did not? Contact sheets, as pictures inside this file.
function sheetsSection(entry, noun) {
  const block = byId(`sheet-data-${entry.latent}`);
  if (!block) return document.querySelector('[id^="sheet-data-"]') && entry.card !== null
    ? section("sheets", "Pictures", "", h("p", { class: "muted" }, "The pictures of this latent are left out, to keep this file small.")) : null;
  const sheets = JSON.parse(block.textContent).filter((sheet) => /^[A-Za-z0-9+/=]+$/.test(sheet.png));
  const splits = [...new Set(sheets.map((sheet) => sheet.split))].map((split) => {
    const own = sheets.filter((sheet) => sheet.split === split);
    return h("div", {}, h("h4", {}, split, h("span", { class: "muted" }, own[0].seen)), h("div", { class: "strips" }, own.map((sheet) =>
      h("figure", {}, h("figcaption", { class: "small" }, sheet.caption),
        h("div", { class: "scroll" }, h("img", { src: `data:image/png;base64,${sheet.png}`, alt: `${count(sheet.ids.length)} ${noun}s, ${sheet.caption}: ${sheet.ids.join(", ")}`, title: sheet.ids.join(", ") }))))));
  });
  if (!splits.length) return null;
  const rows = sheets[0].panels.length > 1 ? `From the top: ${sheets[0].panels.join(", ")}. ` : "";
  const bars = sheets.filter((sheet) => known(sheet.bar_um)).map((sheet) => sheet.bar_um);
  const bar = bars.length ? (new Set(bars).size === 1 ? `The bar is ${short(bars[0])} µm. ` : `Bars: ${bars.map(short).join(", ")} µm, in order. `) : "";
  return section("sheets", "Pictures", `${noun}s, all at the same gray levels`, splits, h("p", { class: "small muted" }, rows, bar));
}
