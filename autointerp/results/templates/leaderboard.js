// Which rows are shown, and in which order? Cells carry what they sort by; words filter, all of them at once.
const tables = [...document.querySelectorAll("table.sortable")];

function compare(a, b) {
  const x = Number(a), y = Number(b);
  if (a === "" || b === "") return (a === "") - (b === ""); // what is not there comes last, either way
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

function sortBy(table, place) {
  const heads = [...table.tHead.rows[0].cells];
  const down = heads[place].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, i) => (i === place ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
  const body = table.tBodies[0];
  const key = (row) => row.cells[place].dataset.sort;
  const rows = [...body.rows].sort((a, b) => {
    const order = compare(key(a), key(b));
    return key(a) === "" || key(b) === "" || !down ? order : -order;
  });
  body.append(...rows);
}

function filter() {
  const wanted = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  for (const table of tables) {
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
      all += 1;
      shown += row.hidden ? 0 : 1;
    }
    table.closest("section").hidden = [...table.tBodies[0].rows].every((row) => row.hidden);
  }
  document.getElementById("shown").textContent = wanted.length ? `${shown} of ${all} configurations` : "";
}

for (const table of tables) {
  [...table.tHead.rows[0].cells].forEach((head, place) => head.querySelector("button").addEventListener("click", () => sortBy(table, place)));
}
document.getElementById("find").addEventListener("input", filter);
