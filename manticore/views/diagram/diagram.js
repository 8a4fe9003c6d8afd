// The diagram of a hybrid: text at the left, one column per block, one lane per component, and the
// next word at the right. The thickness of a lane is its mixture weight.
//
// `mount(root, scene, measure)` draws a scene (views/diagram/scene.py) and gives `{update, destroy}`.
// `measure(weights)` is asked what the hybrid does at mixture weights that are set by hand, or with
// null at its own; it promises `{perplexity, about, next, prompt, continuation, compared}` or `{error}`.
// No other file is needed, and nothing is fetched.
//
// Others on the page hear of the mixture weights that it shows by the event `manticore:mixed` of the
// document (`{id, weights}`), ask for it by `manticore:ask`, and set mixture weights by
// `manticore:mix`, where null stands for those that were found.

const MOVE_MS = 350;
const WORD_MS = 160;
const REPLAY_MS = 80;
const REPLAY_LENGTH_MS = 6000;
const SNAP = 0.02;

const STYLE = `
.mc-diagram { --ink: #1f2a37; --soft: #6b7685; --line: #cfd6df; --paper: #fff; --state: #e8ecf1;
  font: 13px/1.45 Inter, system-ui, Helvetica, Arial, sans-serif; color: var(--ink);
  container-type: inline-size; }
.mc-diagram.dark { --ink: #e6eaf0; --soft: #9aa5b4; --line: #3b4657; --paper: #17202c;
  --state: #2b3646; }
.mc-diagram svg { display: block; width: 100%; overflow: visible; touch-action: pan-y; }
.mc-diagram text { fill: var(--soft); font-size: 11.5px; }
.mc-diagram .strong { fill: var(--ink); font-weight: 600; }
.mc-diagram .box { fill: var(--paper); fill-opacity: .78; stroke-width: 1.5; }
.mc-diagram .state { fill: var(--state); stroke: var(--line); }
.mc-diagram .ghost { fill: none; stroke: var(--line); stroke-dasharray: 2 4; }
.mc-diagram .grip { fill: var(--paper); stroke: var(--ink); stroke-width: 1.5; cursor: grab; }
.mc-diagram [tabindex]:focus { outline: none; }
.mc-diagram [tabindex]:focus-visible { outline: 2px solid #2a8ccc; outline-offset: 3px;
  border-radius: 4px; }
.mc-diagram .legend { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; }
.mc-diagram .legend .grow { flex: 1; }
.mc-diagram .dot { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 6px; }
.mc-diagram button { font: inherit; color: inherit; background: none; border: 1px solid var(--line);
  border-radius: 999px; padding: 1px 12px; cursor: pointer; white-space: nowrap; }
.mc-diagram button:hover { border-color: var(--soft); }
.mc-diagram button:disabled { opacity: .45; cursor: default; }
.mc-diagram label { cursor: pointer; user-select: none; }
.mc-diagram .timeline { display: flex; align-items: center; gap: 12px; margin: 6px 0 0;
  color: var(--soft); font-variant-numeric: tabular-nums; }
.mc-diagram .timeline input { flex: 1; min-width: 80px; accent-color: #2a8ccc; }
.mc-diagram .timeline output { min-width: 5.5em; }
.mc-diagram .told { min-height: 1.5em; color: var(--soft); margin: 4px 0 0; }
.mc-diagram .exact { color: var(--ink); font-weight: 600; }
.mc-diagram .words { margin: 6px 0 0; line-height: 1.9; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.mc-diagram .words span { border-bottom: 2px solid; border-radius: 2px; cursor: default; }
.mc-diagram .found { position: relative; }
.mc-diagram .found.waiting::before { content: ""; position: absolute; left: 0; top: -3px; width: 72px;
  height: 2px; background: #2a8ccc; animation: mc-waiting 0.9s infinite alternate ease-in-out; }
@keyframes mc-waiting { to { transform: translateX(160px); } }
.mc-diagram .numbers { display: flex; flex-wrap: wrap; gap: 2px 20px; color: var(--soft);
  align-items: baseline; font-variant-numeric: tabular-nums; }
.mc-diagram .numbers .now { color: var(--ink); }
.mc-diagram .numbers .now b { font-size: 1.7em; }
.mc-diagram .written { margin: 2px 0 0; }
.mc-diagram .words span.now { outline: 2px solid var(--ink); outline-offset: 1px; }
`;

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const copy = (rows) => rows.map((row) => [...row]);
const onlyOne = (row) => row.findIndex((share) => share === 1);

// A band between two heights, curved like a river that leaves one bed for another.
function band(x0, top0, x1, top1, thickness) {
  const bend = (x0 + x1) / 2;
  const low0 = top0 + thickness;
  const low1 = top1 + thickness;
  return `M${x0},${top0} C${bend},${top0} ${bend},${top1} ${x1},${top1} L${x1},${low1} ` +
    `C${bend},${low1} ${bend},${low0} ${x0},${low0}Z`;
}

// Where everything stands, for a width in pixels.
function geometry(scene, width) {
  const K = scene.components.length;
  const N = scene.blocks;
  const narrow = width < 620;
  const lane = narrow ? 58 : 74;
  const left = narrow ? 4 : 104;
  const right = narrow ? 62 : 132;
  const column = (width - left - right) / (N + 1.3);
  const top = 30;
  const middle = top + (lane * K) / 2;
  const junctions = Array.from({ length: N + 1 }, (_, j) => left + column * (0.65 + j));
  const controls = scene.editable && K > 1 ? (K === 3 ? 2 * Math.min(48, column * 0.4) : 84) : 0;
  return {
    K, N, narrow, lane, left, right, column, top, middle, junctions, controls, width,
    full: lane * 0.62,
    boxHalf: Math.min(column * 0.26, 46),
    lanes: Array.from({ length: K }, (_, k) => top + lane * (k + 0.5)),
    below: top + lane * K + 10,
    height: top + lane * K + 4 + controls + (controls ? 18 : 0),
  };
}

class Diagram {
  constructor(root, scene, measure) {
    this.measure = measure;
    this.undo = [];
    this.playing = null;
    this.token = null;
    this.moment = null;
    this.root = html("div", "mc-diagram", root);
    html("style", "", this.root, STYLE);
    this.head = html("div", "legend", this.root);
    this.svg = make("svg", { role: "group" }, this.root);
    this.timeline = html("div", "timeline", this.root);
    this.writeTimeline();
    this.told = html("p", "told", this.root);
    this.told.setAttribute("aria-live", "polite");
    this.found = html("div", "found", this.root);
    this.words = html("div", "words", this.root);
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.root);
    this.theme = shaded(this.root);
    this.mixed = ({ detail }) => detail.id === this.scene.id && this.mixTo(detail);
    this.asked = ({ detail }) => detail.id === this.scene.id && this.announce();
    document.addEventListener("manticore:mix", this.mixed);
    document.addEventListener("manticore:ask", this.asked);
    this.update(scene);
  }

  destroy() {
    document.removeEventListener("manticore:mix", this.mixed);
    document.removeEventListener("manticore:ask", this.asked);
    clearInterval(this.replaying);
    this.observer.disconnect();
    this.theme.end();
    clearInterval(this.playing);
    cancelAnimationFrame(this.frame);
    this.root.remove();
  }

  update(scene) {
    const before = this.scene;
    this.scene = scene;
    this.theme.look();
    const other = !before || before.id !== scene.id || before.blocks !== scene.blocks ||
      !same(before.components, scene.components);
    if (other) {
      this.undo = [];
      this.token = null;
      this.moment = null;
      this.shown = copy(scene.weights);
      this.mine = null;
      this.next = null;
      this.found.replaceChildren();
    }
    if (this.mine && before && !same(before.weights, scene.weights)) this.mine = null;
    if (other || this.headChanges(before)) this.writeHead();
    this.showTimeline();
    if (other || !same(before?.tokens, scene.tokens)) this.writeWords();
    if (other || !same(before?.next, scene.next) || before?.editable !== scene.editable) {
      this.width = 0;
      this.layout();
    }
    this.move();
    this.announce();
    const newly = other || !before.measured || !same(before.asking, scene.asking);
    if (scene.measured && newly) this.ask(this.mine);
  }

  get wanted() {
    if (this.token !== null) return this.scene.tokens[this.token].weights;
    if (this.moment !== null) return this.scene.history[this.moment].weights;
    return this.mine ?? this.scene.weights;
  }

  // ---- Words around the picture ----------------------------------------------------------------

  // Only then is it written again: a button that has the focus keeps it while a run works.
  headChanges({ editable, tokens }) {
    const { scene } = this;
    return editable !== scene.editable || !tokens?.length !== !scene.tokens?.length;
  }

  writeHead() {
    const { scene, head } = this;
    head.replaceChildren();
    for (const component of scene.components) {
      const entry = html("span", "", head);
      const dot = html("span", "dot", entry);
      dot.style.background = component.color;
      entry.append(component.name);
      this.explain(entry, component.about);
    }
    html("span", "grow", head);
    if (scene.tokens?.length) {
      this.playButton = html("button", "play", head, this.playing ? "Pause" : "Play the text");
      this.playButton.onclick = () => (this.playing ? this.pause() : this.play());
    }
    if (!scene.editable || scene.components.length < 2) return;
    if (scene.blocks > 1) {
      const label = html("label", "", head);
      this.together = html("input", "", label);
      this.together.type = "checkbox";
      this.together.checked = this.linked ?? false;
      this.together.onchange = () => { this.linked = this.together.checked; };
      label.append(" all blocks together");
    }
    this.undoButton = html("button", "undo", head, "Undo");
    this.undoButton.onclick = () => this.set(this.undo.pop());
    this.backButton = html("button", "back", head, "Back to what was found");
    this.backButton.onclick = () => this.change(() => copy(this.scene.weights));
    this.enable();
  }

  enable() {
    if (!this.undoButton) return;
    this.undoButton.disabled = !this.undo.length;
    this.backButton.disabled = !this.mine || same(this.mine, this.scene.weights);
  }

  writeWords() {
    this.words.replaceChildren();
    this.pause();
    for (const [index, token] of (this.scene.tokens ?? []).entries()) {
      const word = html("span", "", this.words, token.text);
      const mean = token.weights[0].map(
        (_, k) => token.weights.reduce((sum, row) => sum + row[k], 0) / token.weights.length,
      );
      const best = mean.indexOf(Math.max(...mean));
      const strength = mean.length > 1 ? (mean[best] * mean.length - 1) / (mean.length - 1) : 1;
      const { color, name } = this.scene.components[best];
      word.style.borderColor = color;
      word.style.background = `color-mix(in srgb, ${color} ${Math.round(10 + 45 * strength)}%, transparent)`;
      this.explain(word, `"${token.text.trim()}" is read by ${name} (${percent(mean[best])}).`);
      word.addEventListener("pointerenter", () => this.playing || this.at(index));
      word.addEventListener("pointerleave", () => this.playing || this.at(null));
    }
  }

  at(index) {
    this.token = index;
    for (const [i, word] of [...this.words.children].entries()) {
      word.classList.toggle("now", i === index);
    }
    this.move(WORD_MS);
  }

  play() {
    let next = 0;
    this.playing = setInterval(() => {
      if (next >= this.scene.tokens.length) return this.pause();
      this.at(next);
      next += 1;
    }, WORD_MS * 1.5);
    if (this.playButton) this.playButton.textContent = "Pause";
  }

  pause() {
    clearInterval(this.playing);
    this.playing = null;
    if (this.playButton) this.playButton.textContent = "Play the text";
    this.at(null);
  }

  // ---- The search, step by step ----------------------------------------------------------------

  writeTimeline() {
    this.replayButton = html("button", "replay", this.timeline, "Replay the search");
    this.replayButton.onclick = () => (this.replaying ? this.stopReplay() : this.replay());
    this.scrub = html("input", "", this.timeline);
    Object.assign(this.scrub, { type: "range", min: 0, step: 1 });
    this.scrub.setAttribute("aria-label", "Step of the search");
    this.scrub.oninput = () => {
      this.stopReplay();
      this.goTo(Number(this.scrub.value));
    };
    this.stepShown = html("output", "", this.timeline);
  }

  showTimeline() {
    const { history = [] } = this.scene;
    this.timeline.style.display = history.length > 1 ? "" : "none";
    if (this.moment !== null && this.moment >= history.length) this.moment = null;
    this.scrub.max = Math.max(0, history.length - 1);
    this.scrub.value = this.moment ?? this.scrub.max;
    const at = history[Number(this.scrub.value)];
    this.stepShown.textContent = at ? at.label : "";
    this.scrub.setAttribute("aria-valuetext", this.stepShown.textContent);
  }

  // The last moment is now: the picture follows the run again, or what is mixed by hand.
  goTo(moment) {
    this.moment = moment < this.scene.history.length - 1 ? moment : null;
    this.showTimeline();
    this.move(REPLAY_MS);
  }

  replay() {
    const { length } = this.scene.history;
    let next = this.moment ?? 0;
    this.pause();
    this.replayButton.textContent = "Pause";
    this.replaying = setInterval(() => {
      this.goTo(next);
      next += 1;
      if (next >= length) this.stopReplay();
    }, Math.max(REPLAY_MS, REPLAY_LENGTH_MS / length));
  }

  stopReplay() {
    clearInterval(this.replaying);
    this.replaying = null;
    this.replayButton.textContent = "Replay the search";
  }

  explain(node, sentence) {
    if (node.namespaceURI === SVG) {
      node.setAttribute("role", "img");
      node.setAttribute("aria-label", sentence);
      node.setAttribute("tabindex", "0");
    }
    const tell = () => { this.hovered = sentence; this.tell(); };
    const stop = () => { this.hovered = null; this.tell(); };
    node.addEventListener("pointerenter", tell);
    node.addEventListener("pointerleave", stop);
    node.addEventListener("focus", tell);
    node.addEventListener("blur", stop);
  }

  tell() {
    const rows = this.wanted;
    const picks = new Set(rows.map(onlyOne));
    const exact = picks.size === 1 && !picks.has(-1) && rows[0].length > 1;
    const name = exact ? this.scene.components[[...picks][0]].name : "";
    this.told.classList.toggle("exact", exact && !this.hovered);
    this.told.textContent = this.hovered ??
      (exact ? `This is exactly ${name}: the other weights are zero.` : this.scene.hint ?? "");
  }

  // ---- The picture -----------------------------------------------------------------------------

  layout() {
    const width = Math.round(this.root.clientWidth);
    if (!width || width === this.width) return;
    this.width = width;
    const g = (this.g = geometry(this.scene, width));
    const { svg, scene } = this;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${g.height}`);
    svg.setAttribute("height", g.height);
    svg.setAttribute("aria-label", scene.about);
    this.bands = make("g", {}, svg);
    this.boxes = [[], []];
    this.drawEnds();
    this.drawBlocks();
    this.drawControls();
    this.draw();
  }

  drawEnds() {
    const { g, svg, scene } = this;
    for (const [j, x] of g.junctions.entries()) {
      const pill = make("rect", {
        class: "state", x: x - 4, y: g.middle - g.full / 2 - 3, width: 8, height: g.full + 6, rx: 4,
      }, svg);
      this.explain(pill, scene.states[j]);
    }
    for (const [k, y] of g.lanes.entries()) {
      const wide = g.boxHalf > 44;
      const x = g.left + g.boxHalf * 0.7;
      const z = g.junctions[g.N] + g.column * 0.42;
      this.boxes[0].push(this.box(x, y, g.boxHalf * 0.7, k, wide ? "embed" : "E", scene.embeddings[k]));
      this.boxes[1].push(this.box(z, y, g.boxHalf * 0.7, k, wide ? "head" : "H", scene.heads[k]));
    }
    if (!g.narrow) {
      const lines = scene.prompt.match(/\S+\s*\S*/g) ?? [];
      for (const [i, line] of lines.slice(-4).entries()) {
        const y = g.middle + (i - (Math.min(4, lines.length) - 1) / 2) * 16 + 4;
        const text = make("text", { x: g.left - 16, y, "text-anchor": "end" }, svg);
        text.textContent = line.trim();
        if (i === Math.min(4, lines.length) - 1) text.setAttribute("class", "strong");
      }
    }
    this.drawNext();
  }

  drawNext() {
    const { g, svg, scene } = this;
    const x = g.junctions[g.N] + g.column * 0.42 + g.boxHalf * 0.7 + 14;
    const words = this.next ?? scene.next;
    // A group of its own: an answer that comes while a divider is dragged must not replace that.
    this.nextPlace?.remove();
    this.nextPlace = make("g", {}, svg);
    for (const [i, word] of words.entries()) {
      const y = g.middle + (i - (words.length - 1) / 2) * 22;
      const text = make("text", { x, y: y + 1, class: i ? "" : "strong" }, this.nextPlace);
      text.textContent = word.text.trim() || "¶";
      const long = Math.max(2, (g.width - x - 4) * word.probability);
      make("rect", { x, y: y + 5, width: long, height: 3, rx: 1.5, fill: "var(--soft)" }, this.nextPlace);
      this.explain(text, `The next token is "${word.text.trim()}" with ${percent(word.probability)}.`);
    }
  }

  box(x, y, half, k, label, sentence) {
    const high = this.g.full * 0.8;
    const group = make("g", {}, this.svg);
    make("rect", {
      class: "box", x: x - half, y: y - high / 2, width: 2 * half, height: high, rx: 6,
      stroke: this.scene.components[k].color,
    }, group);
    const text = make("text", { x, y: y + 4, "text-anchor": "middle" }, group);
    text.textContent = label;
    this.explain(group, sentence);
    return group;
  }

  drawBlocks() {
    const { g, svg, scene } = this;
    this.marks = [];
    for (let b = 0; b < g.N; b += 1) {
      const center = (g.junctions[b] + g.junctions[b + 1]) / 2;
      const title = make("text", { x: center, y: 14, "text-anchor": "middle" }, svg);
      title.textContent = g.column > 64 ? `block ${b + 1}` : b + 1;
      const row = [];
      for (const [k, y] of g.lanes.entries()) {
        const layers = scene.components[k].layers[b];
        const about = scene.blockTexts[b][k];
        row.push(this.box(center, y, g.boxHalf, k, g.column > 40 ? layers : "", about));
        const sides = g.column < 52 ? [] : [[0, center - g.boxHalf], [1, center + g.boxHalf]];
        for (const [side, x] of sides) {
          const mark = make("path", {
            d: `M${x - 5},${y} L${x},${y - 5} L${x + 5},${y} L${x},${y + 5}Z`,
            fill: "var(--paper)", stroke: scene.components[k].color, "stroke-width": 1.5,
          }, svg);
          this.explain(mark, scene.projectors[b][k][side]);
          this.marks.push({ mark, b, k });
        }
      }
      this.boxes.push(row);
    }
  }

  // Move from what is shown to what is wanted.
  move(duration = MOVE_MS) {
    cancelAnimationFrame(this.frame);
    const from = copy(this.shown);
    const to = this.wanted;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || same(from, to);
    const begun = performance.now();
    const step = (now) => {
      const t = still ? 1 : clamp((now - begun) / duration);
      const eased = t * t * (3 - 2 * t);
      this.shown = from.map((row, b) => row.map((a, k) => a + (to[b][k] - a) * eased));
      this.draw();
      if (t < 1) this.frame = requestAnimationFrame(step);
    };
    step(still ? begun : performance.now());
    this.tell();
    this.enable();
  }

  draw() {
    if (!this.g) return;
    const { g, scene, shown } = this;
    const paths = [];
    const flow = (row, k, x0, x1, entering) => {
      const thick = row[k] * g.full;
      const stacked = g.middle - g.full / 2 + row.slice(0, k).reduce((a, b) => a + b, 0) * g.full;
      const own = g.lanes[k] - thick / 2;
      const [a, z] = entering ? [stacked, own] : [own, stacked];
      if (thick < 0.4) {
        const y = entering ? [g.middle, g.lanes[k]] : [g.lanes[k], g.middle];
        const bend = (x0 + x1) / 2;
        paths.push(`<path class="ghost" d="M${x0},${y[0]} C${bend},${y[0]} ${bend},${y[1]} ${x1},${y[1]}"/>`);
      } else {
        const { color } = scene.components[k];
        paths.push(`<path d="${band(x0, a, x1, z, thick)}" fill="${color}" fill-opacity="0.6"/>`);
      }
    };
    const through = (row, k, x0, x1) => {
      const thick = Math.max(row[k] * g.full, 0.8);
      const { color } = scene.components[k];
      paths.push(`<rect x="${x0}" width="${x1 - x0}" y="${g.lanes[k] - thick / 2}" height="${thick}" fill="${color}" fill-opacity="0.6"/>`);
    };
    for (let k = 0; k < g.K; k += 1) {
      flow(shown[0], k, g.left + g.boxHalf * 1.4, g.junctions[0] - 4, false);
      for (let b = 0; b < g.N; b += 1) {
        const center = (g.junctions[b] + g.junctions[b + 1]) / 2;
        const [x0, x1] = [center - g.boxHalf, center + g.boxHalf];
        flow(shown[b], k, g.junctions[b] + 4, x0, true);
        through(shown[b], k, x0, x1);
        flow(shown[b], k, x1, g.junctions[b + 1] - 4, false);
      }
      const x = g.junctions[g.N] + g.column * 0.42 - g.boxHalf * 0.7;
      flow(shown[g.N - 1], k, g.junctions[g.N] + 4, x, true);
    }
    this.bands.innerHTML = paths.join("");
    const rows = [shown[0], shown[g.N - 1], ...shown];
    for (const [i, row] of this.boxes.entries()) {
      for (const [k, group] of row.entries()) {
        group.setAttribute("opacity", rows[i][k] < 0.005 ? 0.45 : 1);
      }
    }
    // Alone in a block, a component passes its projectors by; without weight, it has no use for them.
    for (const { mark, b, k } of this.marks) {
      const used = shown[b][k] > 0.005 && shown[b][k] < 0.995;
      mark.setAttribute("opacity", used ? 1 : 0);
    }
    this.drawShares();
  }

  // ---- By hand ---------------------------------------------------------------------------------

  drawControls() {
    const { g, svg, scene } = this;
    this.controls = [];
    if (!g.controls) return;
    const kind = g.K === 3 ? Triangle : Shares;
    for (let b = 0; b < g.N; b += 1) {
      const x = (g.junctions[b] + g.junctions[b + 1]) / 2;
      this.controls.push(new kind(this, make("g", {}, svg), b, x, g.below));
    }
  }

  drawShares() {
    for (const control of this.controls ?? []) control.draw(this.shown[control.b]);
  }

  // One question at a time; of those that come meanwhile, the last one is asked.
  async ask(weights) {
    if (!this.measure) return;
    this.question = { weights };
    if (this.asking) return;
    this.asking = true;
    while (this.question) {
      const { id } = this.scene;
      const asked = this.question.weights;
      this.question = null;
      this.found.classList.add("waiting");
      let answer;
      try {
        answer = await this.measure(asked);
      } catch (error) {
        answer = { error: `${error.message ?? error}` };
      }
      if (id === this.scene.id) this.read(answer);
    }
    this.asking = false;
    this.found.classList.remove("waiting");
  }

  read({ error, perplexity, next, prompt, continuation, compared, about }) {
    this.found.replaceChildren();
    if (error) {
      html("p", "", this.found, error);
      return;
    }
    const numbers = html("div", "numbers", this.found);
    const entry = (className, label, value) => {
      const place = html("span", className, numbers);
      html("b", "", place, value < 1000 ? value.toPrecision(3) : Math.round(value).toLocaleString("en"));
      place.append(` ${label}`);
    };
    entry("now", this.mine ? "perplexity, mixed by hand" : "perplexity as found", perplexity);
    for (const [label, value] of compared.slice(this.mine ? 0 : 1)) entry("", label, value);
    if (about) html("span", "", numbers, about);
    const text = html("p", "written", this.found, prompt);
    html("b", "", text, continuation);
    this.next = next;
    if (this.g) this.drawNext();
  }

  // Row b gets new weights; with "all blocks together", every row.
  change(make, remember = true) {
    const now = copy(this.mine ?? this.scene.weights);
    if (remember) this.remember(now);
    this.set(make(now));
  }

  changeRow(b, row) {
    this.change((rows) => rows.map((old, i) => (this.linked || i === b ? [...row] : old)), false);
  }

  remember(rows = copy(this.mine ?? this.scene.weights)) {
    this.undo.push(rows);
    if (this.undo.length > 100) this.undo.shift();
  }

  set(rows) {
    this.pause();
    this.stopReplay();
    this.moment = null;
    this.showTimeline();
    this.mine = same(rows, this.scene.weights) ? null : rows;
    this.move(120);
    this.announce();
    this.ask(this.mine);
  }

  // Somebody else on the page mixes: all blocks, or those that have a row. `more` is one movement.
  mixTo({ weights, more }) {
    const now = this.mine ?? this.scene.weights;
    const wanted = weights?.map((row, b) => row ?? now[b]) ?? this.scene.weights;
    // What is shown already needs no undo, and is measured already.
    if (!same(wanted, this.wanted)) this.change(() => copy(wanted), !more);
  }

  announce() {
    const detail = { id: this.scene.id, weights: copy(this.mine ?? this.scene.weights), byHand: !!this.mine };
    document.dispatchEvent(new CustomEvent("manticore:mixed", { detail }));
  }
}

// Drag a pointer over a part of the picture; `at` is given the point in the picture's own units.
function dragging(diagram, node, at) {
  const point = (event) => {
    const place = diagram.svg.getBoundingClientRect();
    const scale = diagram.g.width / place.width;
    at((event.clientX - place.left) * scale, (event.clientY - place.top) * scale);
  };
  node.style.touchAction = "none";
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    diagram.remember();
    point(event);
    event.preventDefault();
    node.focus?.();
  });
  node.addEventListener("pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) point(event);
  });
}

const snapped = (share) => (share < SNAP ? 0 : share > 1 - SNAP ? 1 : share);

// A bar per block, divided by the mixture weights; each divider is dragged, or moved by arrow keys.
class Shares {
  constructor(diagram, group, b, x, top) {
    Object.assign(this, { diagram, b, x, top, high: 84, half: Math.min(15, diagram.g.column * 0.3) });
    const { K, column } = diagram.g;
    this.parts = Array.from({ length: K }, (_, k) => make("rect", {
      x: x - this.half, width: 2 * this.half, fill: diagram.scene.components[k].color,
      "fill-opacity": 0.85,
    }, group));
    this.labels = column < 66 ? [] : Array.from({ length: K }, () => make("text", {
      x: x + this.half + 6,
    }, group));
    this.grips = Array.from({ length: K - 1 }, (_, d) => this.grip(group, d));
  }

  grip(group, d) {
    const grip = make("rect", {
      class: "grip", x: this.x - this.half - 4, width: 2 * this.half + 8, height: 9, rx: 4.5,
      role: "slider", tabindex: 0, "aria-orientation": "vertical", "aria-valuemin": 0,
      "aria-valuemax": 100,
    }, group);
    dragging(this.diagram, grip, (_, y) => this.divide(d, (y - this.top) / this.high));
    grip.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 0.05, ArrowUp: -0.05, ArrowRight: 0.05, ArrowLeft: -0.05 };
      const at = { Home: 0, End: 1 }[event.key] ?? this.bounds()[d] + step[event.key];
      if (Number.isNaN(at) || at === undefined) return;
      event.preventDefault();
      this.diagram.remember();
      this.divide(d, at);
    });
    return grip;
  }

  bounds() {
    const row = (this.diagram.mine ?? this.diagram.scene.weights)[this.b];
    let sum = 0;
    return row.slice(0, -1).map((share) => (sum += share));
  }

  divide(d, at) {
    const bounds = this.bounds();
    bounds[d] = clamp(snapped(at), bounds[d - 1] ?? 0, bounds[d + 1] ?? 1);
    const row = [...bounds, 1].map((bound, k) => bound - (bounds[k - 1] ?? 0));
    this.diagram.changeRow(this.b, row);
  }

  draw(row) {
    let y = this.top;
    for (const [k, share] of row.entries()) {
      const high = share * this.high;
      this.parts[k].setAttribute("y", y);
      this.parts[k].setAttribute("height", Math.max(0, high));
      if (this.labels[k]) {
        this.labels[k].setAttribute("y", clamp(y + high / 2, this.top + 5 + 13 * k, this.top + this.high - 5 - 13 * (row.length - 1 - k)) + 4);
        this.labels[k].textContent = percent(share);
      }
      y += high;
      const grip = this.grips[k];
      if (!grip) continue;
      const { components } = this.diagram.scene;
      const said = components.map((c, i) => `${c.name} ${percent(row[i])}`).join(", ");
      grip.setAttribute("y", y - 4.5);
      grip.setAttribute("aria-valuenow", Math.round(((y - this.top) / this.high) * 100));
      grip.setAttribute("aria-valuetext", said);
      grip.setAttribute("aria-label", `Mixture weights of block ${this.b + 1}`);
    }
  }
}

// A triangle per block for three components; the nearer the point to a corner, the more of it.
class Triangle {
  constructor(diagram, group, b, x, top) {
    const half = Math.min(48, diagram.g.column * 0.4);
    const high = half * Math.sqrt(3);
    this.corners = [[x, top + 4], [x - half, top + 4 + high], [x + half, top + 4 + high]];
    Object.assign(this, { diagram, b });
    const area = make("polygon", {
      points: this.corners.map((corner) => corner.join()).join(" "), class: "state",
    }, group);
    for (const [k, [cx, cy]] of this.corners.entries()) {
      make("circle", { cx, cy, r: 5, fill: diagram.scene.components[k].color }, group);
    }
    this.point = make("circle", {
      class: "grip", r: 7, tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-label": `Mixture weights of block ${b + 1}`,
    }, group);
    for (const node of [area, this.point]) {
      dragging(diagram, node, (px, py) => this.put(px, py));
    }
    this.point.addEventListener("keydown", (event) => {
      const by = { ArrowUp: [0, -5], ArrowDown: [0, 5], ArrowLeft: [-5, 0], ArrowRight: [5, 0] };
      const [dx, dy] = by[event.key] ?? [];
      if (dx === undefined) return;
      event.preventDefault();
      diagram.remember();
      const [px, py] = this.place((diagram.mine ?? diagram.scene.weights)[b]);
      this.put(px + dx, py + dy);
    });
  }

  place(row) {
    return [0, 1].map((axis) => row.reduce((sum, share, k) => sum + share * this.corners[k][axis], 0));
  }

  put(px, py) {
    const [[ax, ay], [bx, by], [cx, cy]] = this.corners;
    const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    const first = ((by - cy) * (px - cx) + (cx - bx) * (py - cy)) / area;
    const second = ((cy - ay) * (px - cx) + (ax - cx) * (py - cy)) / area;
    const row = [first, second, 1 - first - second].map((share) => snapped(Math.max(0, share)));
    const sum = row.reduce((a, b) => a + b, 0);
    this.diagram.changeRow(this.b, row.map((share) => share / sum));
  }

  draw(row) {
    const [cx, cy] = this.place(row);
    this.point.setAttribute("cx", cx);
    this.point.setAttribute("cy", cy);
    const { components } = this.diagram.scene;
    const said = components.map((c, k) => `${c.name} ${percent(row[k])}`).join(", ");
    this.point.setAttribute("aria-valuetext", said);
    this.point.setAttribute("aria-valuenow", Math.round(row[0] * 100));
  }
}

export function mount(root, scene, measure) {
  const diagram = new Diagram(root, scene, measure);
  return { update: (next) => diagram.update(next), destroy: () => diagram.destroy() };
}
