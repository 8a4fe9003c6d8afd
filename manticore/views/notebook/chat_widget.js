// A chat in a notebook: what was written, a box to write in, and who wrote which word.

const STYLE = `
.mc-chat { --ink: #1f2a37; --soft: #6b7685; --line: #cfd6df; --paper: #fff; --own: #e8f1f8;
  font: 14px/1.55 Inter, system-ui, Helvetica, Arial, sans-serif; color: var(--ink); max-width: 860px; }
.mc-chat.dark { --ink: #e6eaf0; --soft: #9aa5b4; --line: #3b4657; --paper: #17202c; --own: #24384a; }
.mc-chat .said { max-height: 360px; overflow-y: auto; border: 1px solid var(--line);
  border-radius: 10px; padding: 8px 14px; background: var(--paper); min-height: 84px;
  box-sizing: border-box; }
.mc-chat .said p { margin: 6px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.mc-chat .said .user { background: var(--own); border-radius: 10px; padding: 5px 12px;
  width: fit-content; max-width: 90%; margin-left: auto; }
.mc-chat .said .empty { color: var(--soft); }
.mc-chat .row { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0 0; align-items: center; }
.mc-chat textarea { flex: 1; min-width: 200px; font: inherit; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: 10px; padding: 6px 12px; resize: vertical; }
.mc-chat button { font: inherit; color: inherit; background: none; border: 1px solid var(--line);
  border-radius: 999px; padding: 3px 14px; cursor: pointer; white-space: nowrap; }
.mc-chat button.main { background: #1f6f9f; border-color: #1f6f9f; color: #fff; }
.mc-chat button:disabled { opacity: .45; cursor: default; }
.mc-chat :is(button, textarea, input, select, summary):focus-visible { outline: 2px solid #2a8ccc;
  outline-offset: 2px; }
.mc-chat .note { color: var(--soft); min-height: 1.5em; margin: 4px 0 0; font-size: .9em; }
.mc-chat details { font-size: .9em; color: var(--soft); }
.mc-chat details label { display: inline-flex; gap: 6px; align-items: center; margin: 6px 16px 0 0; }
.mc-chat input[type="number"] { width: 6em; font: inherit; color: var(--ink);
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 1px 6px; }
`;
const NUMBERS = [
  ["temperature", "Temperature", { min: 0, max: 2, step: 0.05 }],
  ["top_p", "Top-p", { min: 0.05, max: 1, step: 0.05 }],
  ["length", "Maximum new tokens", { min: 1, max: 1024, step: 1 }],
  ["seed", "Seed (0 = another one each time)", { min: 0, max: 2147483647, step: 1 }],
];

function render({ model, el }) {
  const root = html("div", "mc-chat", el);
  html("style", "", root, STYLE);
  // What is typed here are letters, and not JupyterLab's shortcuts.
  root.dataset.lmSuppressShortcuts = "true";
  const said = html("div", "said", root);
  said.setAttribute("role", "log");
  said.setAttribute("aria-label", "What you and the hybrid have written");
  said.tabIndex = 0;
  const row = html("div", "row", root);
  const box = html("textarea", "", row);
  Object.assign(box, { rows: 1, placeholder: model.get("beginning") });
  box.setAttribute("aria-label", "Your beginning");
  const buttons = Object.fromEntries(
    [
      ["say", "Continue", "main"],
      ["stop", "Stop", ""],
      ["again", "Write again", ""],
      ["clear", "New text", ""],
    ].map(([name, text, style]) => [name, html("button", style, row, text)]),
  );
  const note = html("p", "note", root);
  note.setAttribute("role", "status");
  const words = html("div", "words-of", root);
  const more = html("details", "", root);
  html("summary", "", more, "More");
  const inputs = NUMBERS.map(([name, text, limits]) => {
    const label = html("label", "", more, text);
    const input = html("input", "", label);
    Object.assign(input, { type: "number", ...limits });
    input.addEventListener("change", () => {
      if (!input.checkValidity() || input.value === "") input.value = model.get(name);
      model.set(name, Number(input.value));
      model.save_changes();
    });
    return [name, input];
  });

  const showSaid = () => {
    said.replaceChildren();
    for (const [role, text] of model.get("messages")) html("p", role, said, text.trim());
    if (!said.children.length) html("p", "empty", said, "Nothing written yet: write a beginning.");
    said.scrollTop = said.scrollHeight;
  };
  const showState = () => {
    const writing = model.get("is_writing");
    const written = model.get("messages").length > 0;
    buttons.say.hidden = writing;
    buttons.stop.hidden = !writing;
    buttons.again.disabled = buttons.clear.disabled = writing || !written;
    note.textContent = model.get("note");
  };
  const showWords = () => {
    words.innerHTML = model.get("words");
  };
  const showNumbers = () => {
    for (const [name, input] of inputs) input.value = model.get(name);
  };
  const say = () => {
    if (model.get("is_writing")) return;
    model.send({ say: box.value || box.placeholder });
    box.value = "";
  };
  buttons.say.addEventListener("click", say);
  for (const name of ["stop", "again", "clear"]) {
    buttons[name].addEventListener("click", () => model.send({ [name]: true }));
  }
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    say();
  });
  const shade = shaded(root);
  const heard = [
    ["change:messages", () => (showSaid(), showState())],
    ["change:is_writing", showState],
    ["change:note", showState],
    ["change:words", showWords],
    ...NUMBERS.map(([name]) => [`change:${name}`, showNumbers]),
  ];
  for (const [event, handle] of heard) model.on(event, handle);
  for (const show of [showSaid, showState, showWords, showNumbers]) show();
  requestAnimationFrame(shade.look);
  return () => {
    shade.end();
    for (const [event, handle] of heard) model.off(event, handle);
  };
}

export default { render };
