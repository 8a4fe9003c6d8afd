// The landscape of a hybrid: its perplexity over the mixture weights. Curves for two components,
// triangles for three; one large for all blocks together, one small for each block.
//
// `mount(root, scene)` draws a scene (views/landscape/scene.py) and gives `{update, destroy}`. A
// point that is chosen is told to the diagram of the same id by the document's event
// `manticore:mix`; what that shows is heard by `manticore:mixed`. Nothing is fetched.

const NEAR = 0.004;

const STYLE = `
.mc-landscape { --ink: #1f2a37; --soft: #5c6775; --line: #cfd6df; --paper: #fff; --low: #5b3fa0;
  --high: #efeaf7; font: 13px/1.45 Inter, system-ui, Helvetica, Arial, sans-serif;
  color: var(--ink); }
.mc-landscape.dark { --ink: #e6eaf0; --soft: #9aa5b4; --line: #3b4657; --paper: #17202c;
  --low: #b79cff; --high: #2a2440; }
.mc-landscape .charts { display: grid; gap: 14px 22px;
  grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); }
.mc-landscape .chart.large { grid-column: 1 / -1; }
.mc-landscape h4 { font: inherit; font-weight: 600; margin: 0 0 2px; }
.mc-landscape svg { display: block; width: 100%; overflow: visible; cursor: crosshair; }
.mc-landscape text { fill: var(--soft); font-size: 11px; }
.mc-landscape .grid { stroke: var(--line); }
.mc-landscape .found { stroke: var(--ink); stroke-dasharray: 4 4; stroke-opacity: .55; }
.mc-landscape .curve { fill: none; stroke: var(--low); stroke-width: 2.2; stroke-linejoin: round; }
.mc-landscape .point { fill: var(--low); }
.mc-landscape .here { fill: var(--paper); stroke: var(--ink); stroke-width: 2.5; cursor: grab; }
.mc-landscape .here.away { stroke-dasharray: 3 2.5; }
.mc-landscape .here:focus { outline: none; }
.mc-landscape .here:focus-visible { outline: 2px solid #2a8ccc; outline-offset: 3px; }
.mc-landscape .told { min-height: 1.5em; color: var(--soft); margin: 8px 0 0; }
`;

const number = (value) =>
  value < 1000 ? value.toPrecision(3) : Math.round(value).toLocaleString("en");
const alike = (a, b) => a.every((share, k) => Math.abs(share - b[k]) < NEAR);

// Heights of a range of perplexities, which is so wide that only its logarithm can be seen.
function scale(values, high) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const [low, top] = [Math.log(least / 1.06), Math.log(most * 1.06)];
  const at = (value) => high - (high * (Math.log(value) - low)) / (top - low);
  const ticks = [];
  for (let power = 1; power < most * 10; power *= 10) {
    for (const step of [1, 2, 5]) ticks.push(power * step);
  }
  const seen = ticks.filter((tick) => tick > least / 1.06 && tick < most * 1.06);
  const apart = Math.ceil(seen.length / 5);
  const shade = (value) => clamp((Math.log(most) - Math.log(value)) / (Math.log(most / least) || 1));
  return { at, shade, ticks: seen.filter((_, i) => i % apart === 0) };
}

class Landscape {
  constructor(root, scene) {
    this.root = html("div", "mc-landscape", root);
    html("style", "", this.root, STYLE);
    this.place = html("div", "charts", this.root);
    this.told = html("p", "told", this.root);
    this.told.setAttribute("aria-live", "polite");
    this.heard = ({ detail }) => {
      if (detail.id !== this.scene.id) return;
      this.weights = detail.weights;
      this.byHand = detail.byHand;
      for (const chart of this.charts ?? []) chart.mark();
    };
    document.addEventListener("manticore:mixed", this.heard);
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.root);
    this.theme = shaded(this.root);
    this.update(scene);
  }

  destroy() {
    this.observer.disconnect();
    this.theme.end();
    document.removeEventListener("manticore:mixed", this.heard);
    this.root.remove();
  }

  update(scene) {
    if (this.scene?.id !== scene.id) this.weights = this.byHand = null;
    this.scene = scene;
    this.theme.look();
    this.width = 0;
    this.layout();
    document.dispatchEvent(new CustomEvent("manticore:ask", { detail: { id: scene.id } }));
    this.tell();
  }

  layout() {
    const width = this.root.clientWidth;
    // While a point is dragged its chart must stay.
    if (!width || width === this.width || this.dragged) return;
    this.width = width;
    this.place.replaceChildren();
    const kind = this.scene.components.length === 2 ? Curve : Triangle;
    const drawn = this.scene.charts.filter((chart) => chart.points.length);
    this.charts = drawn.map((chart) => new kind(this, chart));
    if (this.weights) for (const chart of this.charts) chart.mark();
  }

  tell(sentence) {
    const { measured, total, charts, components } = this.scene;
    const all = charts.flatMap((chart) => chart.points.map((point) => ({ ...point, chart })));
    const best = all.reduce((a, b) => (b.perplexity < a.perplexity ? b : a), all[0]);
    const shares = best?.row.map((share, k) => `${percent(share)} ${components[k].name}`).join(", ");
    const progress = measured < total ? ` ${measured} of ${total} points are measured.` : "";
    const summary = best &&
      `The lowest is ${number(best.perplexity)} (${best.chart.title.toLowerCase()}, ${shares}).`;
    this.told.textContent = sentence ?? `${summary ?? "Nothing is measured yet."}${progress}`;
  }

  mix(block, row, more) {
    const weights = Array.from({ length: this.scene.blocks }, (_, b) =>
      block === null || b === block ? row : null);
    const detail = { id: this.scene.id, weights, more };
    document.dispatchEvent(new CustomEvent("manticore:mix", { detail }));
  }
}

// What both kinds of charts share: a title, a place to draw, and the point where the hybrid is.
class Chart {
  constructor(landscape, chart) {
    Object.assign(this, { landscape, chart, large: chart.block === null });
    this.components = landscape.scene.components;
    const place = html("div", this.large ? "chart large" : "chart", landscape.place);
    html("h4", "", place, chart.title);
    this.svg = make("svg", { role: "group", "aria-label": this.summary() }, place);
    this.width = place.clientWidth;
    this.draw();
    this.here = make("circle", {
      class: "here", r: this.large ? 8 : 6, tabindex: 0, role: "slider", "aria-valuemin": 0,
      "aria-valuemax": 100, "aria-label": `Mixture weights, ${chart.title.toLowerCase()}`,
    }, this.svg);
    this.here.style.display = "none";
    this.listen();
  }

  summary() {
    const least = Math.min(...this.chart.points.map((point) => point.perplexity));
    return `Perplexity over the mixture weights, ${this.chart.title.toLowerCase()}: lowest ${number(least)}`;
  }

  // Every chart has the same scale, so that blocks can be compared.
  scaled(high) {
    const { charts, asFound } = this.landscape.scene;
    const values = charts.flatMap((chart) => chart.points.map((point) => point.perplexity));
    return scale([...values, asFound], high);
  }

  listen() {
    const { svg, landscape, here } = this;
    const put = (event, more) => {
      const box = svg.getBoundingClientRect();
      landscape.mix(this.chart.block, this.rowAt(event.clientX - box.left, event.clientY - box.top), more);
    };
    svg.style.touchAction = "none";
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      landscape.dragged = true;
      put(event, false);
      here.focus({ preventScroll: true });
      event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => {
      if (svg.hasPointerCapture(event.pointerId)) put(event, true);
    });
    svg.addEventListener("lostpointercapture", () => {
      landscape.dragged = false;
      landscape.layout();
    });
    here.addEventListener("keydown", (event) => {
      const row = this.stepped(event.key);
      if (!row) return;
      event.preventDefault();
      landscape.mix(this.chart.block, row, false);
    });
  }

  // Where the hybrid is now; outlined by dashes where its blocks differ, so that it is only near.
  mark() {
    const { weights } = this.landscape;
    const { block } = this.chart;
    const mean = weights[0].map((_, k) => weights.reduce((sum, row) => sum + row[k], 0) / weights.length);
    this.row = block === null ? mean : weights[block];
    const away = block === null && !weights.every((row) => alike(row, mean));
    const [x, y] = this.spot(this.row);
    this.here.style.display = "";
    this.here.setAttribute("cx", x);
    this.here.setAttribute("cy", y);
    this.here.classList.toggle("away", away);
    const said = this.components.map((c, k) => `${c.name} ${percent(this.row[k])}`).join(", ");
    this.here.setAttribute("aria-valuetext", said);
    this.here.setAttribute("aria-valuenow", Math.round(this.row[0] * 100));
  }
}

class Curve extends Chart {
  draw() {
    const { svg, chart, large, components } = this;
    const high = large ? 190 : 110;
    const left = 40;
    Object.assign(this, { left, wide: Math.max(60, this.width - left - 12), high });
    svg.setAttribute("height", high + 26);
    const { at, ticks } = (this.scale = this.scaled(high));
    for (const tick of ticks) {
      make("line", { class: "grid", x1: left, x2: left + this.wide, y1: at(tick), y2: at(tick) }, svg);
      make("text", { x: left - 7, y: at(tick) + 4, "text-anchor": "end" }, svg).textContent = tick.toLocaleString("en");
    }
    const found = at(this.landscape.scene.asFound);
    make("line", { class: "found", x1: left, x2: left + this.wide, y1: found, y2: found }, svg);
    if (large) {
      const label = make("text", { x: left + this.wide, y: found - 5, "text-anchor": "end" }, svg);
      label.textContent = `as found ${number(this.landscape.scene.asFound)}`;
    }
    this.points = [...chart.points].sort((a, b) => b.row[0] - a.row[0]);
    const spots = this.points.map((point) => [this.x(point.row), at(point.perplexity)]);
    make("polyline", { class: "curve", points: spots.map((spot) => spot.join()).join(" ") }, svg);
    for (const [cx, cy] of spots) make("circle", { class: "point", cx, cy, r: large ? 3 : 2 }, svg);
    for (const [k, anchor, x] of [[0, "start", left], [1, "end", left + this.wide]]) {
      const end = make("text", { x, y: high + 20, "text-anchor": anchor }, svg);
      end.textContent = large ? `all ${components[k].name}` : components[k].name;
      make("circle", { cx: x, cy: high + 3, r: 4, fill: components[k].color }, svg);
    }
  }

  x(row) {
    return this.left + row[1] * this.wide;
  }

  spot(row) {
    const x = this.x(row);
    // As found, a routed hybrid has no place on the curve: its mixture weights follow the text.
    if (!this.landscape.byHand) return [x, this.scale.at(this.landscape.scene.asFound)];
    const after = this.points.findIndex((point) => point.row[1] >= row[1]);
    const [a, b] = [this.points[Math.max(0, after - 1)], this.points.at(after)];
    const along = b.row[1] === a.row[1] ? 0 : (row[1] - a.row[1]) / (b.row[1] - a.row[1]);
    const [low, high] = [this.scale.at(a.perplexity), this.scale.at(b.perplexity)];
    return [x, low + (high - low) * clamp(along)];
  }

  rowAt(x) {
    const share = clamp((x - this.left) / this.wide);
    const snapped = share < 0.02 ? 0 : share > 0.98 ? 1 : share;
    return [1 - snapped, snapped];
  }

  stepped(key) {
    const by = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05 };
    const share = { Home: 0, End: 1 }[key] ?? this.row[1] + by[key];
    return Number.isNaN(share) ? null : [1 - clamp(share), clamp(share)];
  }
}

class Triangle extends Chart {
  draw() {
    const { svg, chart, large, components } = this;
    // Cells of a grid that is as coarse as what is measured so far; half a cell is beyond each edge.
    const steps = Math.round(1 / Math.min(...chart.points.flatMap((p) => p.row).filter((share) => share > NEAR)));
    const edge = Math.min(this.width, large ? 340 : 185) / (1 + 1 / steps);
    const radius = edge / steps / Math.sqrt(3);
    const high = (edge * Math.sqrt(3)) / 2;
    const left = (large ? this.width - edge : edge / steps) / 2;
    const top = radius + (large ? 20 : 2);
    this.corners = [[left + edge / 2, top], [left, top + high], [left + edge, top + high]];
    svg.setAttribute("height", top + high + radius + (large ? 24 : 6));
    const { shade } = this.scaled(high);
    for (const point of chart.points) {
      const [x, y] = this.spot(point.row);
      const cell = Array.from({ length: 6 }, (_, i) => {
        const angle = (Math.PI / 3) * (i + 0.5);
        return `${x + radius * Math.cos(angle)},${y + radius * Math.sin(angle)}`;
      });
      const fill = `color-mix(in oklab, var(--low) ${Math.round(100 * shade(point.perplexity))}%, var(--high))`;
      const node = make("polygon", { points: cell.join(" "), fill }, svg);
      const shares = point.row.map((share, k) => `${percent(share)} ${components[k].name}`).join(", ");
      node.addEventListener("pointerenter", () =>
        this.landscape.tell(`${chart.title}, ${shares}: perplexity ${number(point.perplexity)}.`));
      node.addEventListener("pointerleave", () => this.landscape.tell());
    }
    for (const [k, [x, y]] of this.corners.entries()) {
      make("circle", { cx: x, cy: y, r: 5, fill: components[k].color }, svg);
      if (!large) continue;
      const beyond = k === 0 ? -radius - 8 : radius + 18;
      make("text", { x, y: y + beyond, "text-anchor": "middle" }, svg).textContent = components[k].name;
    }
  }

  spot(row) {
    return [0, 1].map((axis) => row.reduce((sum, share, k) => sum + share * this.corners[k][axis], 0));
  }

  rowAt(x, y) {
    const [[ax, ay], [bx, by], [cx, cy]] = this.corners;
    const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    const first = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area;
    const second = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area;
    const row = [first, second, 1 - first - second].map((share) => (share < 0.02 ? 0 : share));
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((share) => share / sum);
  }

  stepped(key) {
    const by = { ArrowUp: [0, -6], ArrowDown: [0, 6], ArrowLeft: [-6, 0], ArrowRight: [6, 0] }[key];
    const [x, y] = this.spot(this.row);
    return by ? this.rowAt(x + by[0], y + by[1]) : null;
  }
}

export function mount(root, scene) {
  const landscape = new Landscape(root, scene);
  return { update: (next) => landscape.update(next), destroy: () => landscape.destroy() };
}
