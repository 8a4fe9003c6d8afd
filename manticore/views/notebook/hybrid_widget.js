// The diagram in a notebook: `mount` of the diagram's module, and the kernel that answers it.

// The kernel rounds to 32 bits.
const alike = (rows, others) =>
  rows === others ||
  (rows?.every((row, b) => row.every((share, k) => Math.abs(share - others?.[b][k]) < 1e-6)) ?? false);

function render({ model, el }) {
  const waiting = new Map();
  let number = 0;
  let asked = null;
  const said = (answer) => {
    waiting.get(answer.number)?.(answer);
    waiting.delete(answer.number);
  };
  const measure = (weights) =>
    new Promise((resolve) => {
      asked = weights;
      waiting.set((number += 1), resolve);
      model.send({ number, weights });
    });
  model.on("msg:custom", said);
  const drawn = mount(el, model.get("scene"), measure);
  // A cell has set the mixture weights; what was dragged here comes back and changes nothing.
  const mixed = () => {
    const weights = model.get("mixed");
    if (alike(weights, asked)) return;
    const detail = { id: model.get("scene").id, weights };
    document.dispatchEvent(new CustomEvent("manticore:mix", { detail }));
  };
  // A run has moved on.
  const moved = () => drawn.update(model.get("scene"));
  model.on("change:mixed", mixed);
  model.on("change:scene", moved);
  mixed();
  return () => {
    model.off("msg:custom", said);
    model.off("change:mixed", mixed);
    model.off("change:scene", moved);
    drawn.destroy();
  };
}

export default { render };
