// How is a number drawn? Interval bars, histograms, shift bars and the UMAP.

// AUROC axis: from the lowest label's number (at most 0.4) to 1; shuffled labels below it become an arrow.
function scaleFrom(values) {
  const lowest = Math.min(0.4, ...values.filter(known));
  return { low: Math.max(0, Math.floor(lowest * 10) / 10), high: 1 };
}

function describeInterval(score) {
  const parts = [fixed(score.value)];
  if (known(score.low) && known(score.high)) parts.push(`interval ${fixed(score.low)} to ${fixed(score.high)}`);
  if (known(score.shuffled)) parts.push(`shuffled label ${fixed(score.shuffled)}`);
  if (known(score.ceiling)) parts.push(`ceiling ${fixed(score.ceiling)}`);
  return parts.join(", ");
}

function intervalMark(score, scale, width) {
  const height = 18, middle = 9, pad = 5;
  const at = (v) => pad + (width - 2 * pad) * ((clamp(v, scale.low, scale.high) - scale.low) / (scale.high - scale.low));
  const mark = s("svg", { class: "interval", width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": describeInterval(score) });
  mark.append(s("title", {}, describeInterval(score)));
  mark.append(s("line", { class: "rail", x1: pad, x2: width - pad, y1: middle, y2: middle }));
  if (scale.low < 0.5) mark.append(s("line", { class: "chance", x1: at(0.5), x2: at(0.5), y1: 2, y2: height - 2 }));
  if (known(score.low) && known(score.high)) {
    mark.append(s("rect", { class: "band", x: at(score.low), y: middle - 3.5, rx: 3.5, height: 7,
      width: Math.max(1, at(score.high) - at(score.low)) }));
  }
  if (known(score.ceiling)) {
    const x = at(score.ceiling);
    mark.append(s("path", { class: "ceiling", d: `M${x - 3} 2.5H${x + 3}M${x} 2.5V${height - 2.5}` }));
  }
  if (known(score.shuffled) && score.shuffled >= scale.low) {
    const x = at(score.shuffled);
    mark.append(s("line", { class: "shuffled", x1: x, x2: x, y1: 3.5, y2: height - 3.5 }));
  } else if (known(score.shuffled)) {
    mark.append(s("path", { class: "off-scale", d: `M0 ${middle}l5 -3.5v7z` }));
  }
  if (known(score.value)) mark.append(s("circle", { class: "dot", cx: at(score.value), cy: middle, r: 3.6 }));
  return mark;
}

function axisMark(scale, width) {
  const pad = 5, axis = s("svg", { class: "axis", width, height: 12, viewBox: `0 0 ${width} 12`, "aria-hidden": "true" });
  const steps = scale.low < 0.5 ? [scale.low, 0.5, 0.75, 1] : [0.5, 0.75, 1];
  for (const v of steps) {
    if (v !== 0.5 && v < 0.5 && 0.5 - v < 0.14) continue;
    const x = pad + (width - 2 * pad) * ((v - scale.low) / (scale.high - scale.low));
    axis.append(s("text", { x, y: 9, "text-anchor": v === 1 ? "end" : "middle" }, v === 1 ? "1" : String(v).replace("0.", ".")));
  }
  return axis;
}

function histogramMark(histogram) {
  const { edges, counts } = histogram, width = 300, height = 120, left = 34, bottom = 18, top = 8;
  const peak = Math.max(1, ...counts), first = edges[0], last = edges[edges.length - 1], span = last - first || 1;
  const x = (v) => left + (width - left - 4) * ((v - first) / span);
  const y = (n) => top + (height - top - bottom) * (1 - n / peak);
  const total = counts.reduce((a, b) => a + b, 0);
  const chart = s("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Histogram of ${total} activations from ${short(first)} to ${short(last)}` });
  for (const n of [peak, peak / 2]) {
    chart.append(s("line", { class: "grid", x1: left, x2: width - 4, y1: y(n), y2: y(n) }));
    if (n === peak || Number.isInteger(n)) chart.append(s("text", { x: left - 5, y: y(n) + 3.5, "text-anchor": "end" }, count(n)));
  }
  counts.forEach((n, i) => {
    if (!n) return;
    const bar = s("rect", { class: "bar", x: x(edges[i]) + 0.5, y: y(n), height: height - bottom - y(n),
      width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1) });
    bar.append(s("title", {}, `${short(edges[i])} to ${short(edges[i + 1])}: ${count(n)}`));
    chart.append(bar);
  });
  chart.append(s("line", { class: "base", x1: left, x2: width - 4, y1: height - bottom, y2: height - bottom }));
  for (const [v, anchor] of [[first, "start"], [(first + last) / 2, "middle"], [last, "end"]]) {
    chart.append(s("text", { x: x(v), y: height - 4, "text-anchor": anchor }, short(v)));
  }
  return chart;
}

// A bar from the middle (diverging) or from the left; its width is the only thing that data decides.
function bar(kind, share) {
  const inner = h("span", { class: `fill ${kind}` });
  inner.style.width = `${(100 * clamp(share, 0, 1)).toFixed(2)}%`;
  return h("span", { class: "track", "aria-hidden": "true" }, inner);
}

const RAMPS = {
  light: { silent: "#d9d7d0", stops: [[150, 211, 200], [24, 128, 134], [16, 42, 82]] },
  dark: { silent: "#363d44", stops: [[30, 92, 98], [64, 186, 172], [248, 246, 190]] },
};

function rampColor(stops, share) {
  const place = clamp(share, 0, 1) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(place));
  const mixed = stops[i].map((v, c) => Math.round(v + (stops[i + 1][c] - v) * (place - i)));
  return `rgb(${mixed.join(",")})`;
}

function drawUmap(canvas, points, activations) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const ramp = RAMPS[window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
  const bounds = (values) => values.reduce(([a, b], v) => (known(v) ? [Math.min(a, v), Math.max(b, v)] : [a, b]), [Infinity, -Infinity]);
  const [left, right] = bounds(points.x), [low, high] = bounds(points.y);
  const pad = 8, zoom = Math.min((width - 2 * pad) / (right - left || 1), (height - 2 * pad) / (high - low || 1));
  const offsetX = (width - zoom * (right - left)) / 2, offsetY = (height - zoom * (high - low)) / 2;
  const radius = clamp(95 / Math.sqrt(points.x.length), 1.1, 3);
  const dot = (i, size) => {
    if (!known(points.x[i]) || !known(points.y[i])) return;
    pen.beginPath();
    pen.arc(offsetX + zoom * (points.x[i] - left), height - offsetY - zoom * (points.y[i] - low), size, 0, 2 * Math.PI);
    pen.fill();
  };
  pen.fillStyle = ramp.silent;
  for (let i = 0; i < points.x.length; i++) dot(i, radius);
  const order = activations.rows.map((row, i) => [row, activations.values[i]]).sort((a, b) => a[1] - b[1]);
  const peak = order.length ? order[order.length - 1][1] : 1;
  for (const [row, value] of order) {
    pen.fillStyle = rampColor(ramp.stops, value / peak);
    dot(row, radius * 1.25);
  }
}
