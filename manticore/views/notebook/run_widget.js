// Draws a run in a notebook: words, and a figure per panel by the plotly.js that came with them.

const CONFIG = { displayModeBar: false, responsive: false };

const STYLE = `
.manticore-run { font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif); }
.manticore-run .panels { display: flex; flex-wrap: wrap; }
.manticore-run .panel { flex: 1 1 360px; min-width: 0; }
.manticore-run .panel.wide { flex-basis: 100%; }
.manticore-run .sample { white-space: pre-wrap; }
`;

// One copy per page, whatever number of runs is watched. As a module of its own: on a page with an
// AMD loader a plain script would register itself there. plotly.js also sets `window.Plotly`,
// which belongs to whoever had it.
function loadPlotly(model) {
  const key = `manticore-plotly-${model.get("plotly_version")}`;
  globalThis[key] ??= (async () => {
    const source = ["const module = {exports: {}};\n", model.get("plotly_js")];
    const blob = new Blob([...source, "\nexport default module.exports;"], {
      type: "text/javascript",
    });
    const url = URL.createObjectURL(blob);
    const before = globalThis.Plotly;
    try {
      return (await import(url)).default;
    } finally {
      globalThis.Plotly = before;
      URL.revokeObjectURL(url);
    }
  })();
  return globalThis[key];
}

function element(parent, className) {
  const made = document.createElement("div");
  made.className = className;
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  el.append(style);
  const root = element(el, "manticore-run");
  const status = element(root, "status");
  const panels = element(root, "panels");
  const sample = element(root, "sample");
  const places = new Map();

  function writeWords() {
    status.innerHTML = model.get("status");
    sample.innerHTML = model.get("sample");
  }

  function placeOf({ name, title, wide }) {
    if (!places.has(name)) {
      const place = element(panels, wide ? "panel wide" : "panel");
      place.dataset.panel = name;
      place.setAttribute("role", "figure");
      place.setAttribute("aria-label", title);
      places.set(name, place);
    }
    return places.get(name);
  }

  let plotly = null;
  let drawing = false;
  let changed = false;

  // plotly.js draws asynchronously: what arrives meanwhile is drawn afterwards, and only the last.
  async function draw() {
    changed = true;
    if (drawing || plotly === null) return;
    drawing = true;
    try {
      while (changed) {
        changed = false;
        for (const panel of model.get("panels")) {
          const place = placeOf(panel);
          place.hidden = panel.figure === null;
          if (typeof panel.figure === "string") {
            place.innerHTML = panel.figure;
          } else if (panel.figure !== null) {
            const { data, layout } = panel.figure;
            await plotly.react(place, data, { ...layout, autosize: true }, CONFIG);
          }
        }
      }
    } finally {
      drawing = false;
    }
  }

  writeWords();
  model.on("change:status", writeWords);
  model.on("change:sample", writeWords);
  model.on("change:panels", draw);

  // The place is not in the document yet when it is first drawn, and notebooks change their width.
  const resized = new ResizeObserver(() => {
    if (plotly === null || root.offsetWidth === 0) return;
    for (const place of places.values()) {
      if (!place.hidden && place._fullLayout) plotly.Plots.resize(place);
    }
  });
  resized.observe(root);

  loadPlotly(model).then(
    (loaded) => {
      plotly = loaded;
      draw();
    },
    (error) => {
      panels.textContent = `The figures cannot be drawn here: ${error}`;
    },
  );

  return () => {
    resized.disconnect();
    for (const change of ["change:status", "change:sample"]) model.off(change, writeWords);
    model.off("change:panels", draw);
    if (plotly !== null) for (const place of places.values()) plotly.purge(place);
  };
}

export default { render };
