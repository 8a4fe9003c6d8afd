// A walk over the real page: a card with one step after the other, and a ring around what it is
// about. The page stays usable meanwhile. Dismissed once, it comes back only when it is asked for.

const KEPT = "manticore-walk";
const RING = "manticore-ring";

const STYLE = `
.${RING} { outline: 3px solid #2a8ccc !important; outline-offset: 6px; border-radius: 10px;
  scroll-margin: 90px; }
.manticore-walk { position: fixed; right: 22px; bottom: 22px; z-index: 1000; width: 350px;
  max-width: calc(100vw - 24px); box-sizing: border-box; padding: 14px 18px; border-radius: 14px;
  background: var(--background-fill-primary); color: var(--body-text-color);
  border: 1px solid var(--border-color-primary); box-shadow: 0 8px 34px rgba(15, 25, 40, .25);
  font: .92rem/1.45 var(--font); }
@media (max-width: 620px) { .manticore-walk { right: 12px; bottom: 12px; } }
.manticore-walk h2 { font-size: 1.05rem; font-weight: 650; margin: 2px 0 4px; outline: none; }
.manticore-walk p { margin: 0 0 10px; }
.manticore-walk .count { color: var(--body-text-color-subdued); font-size: .8rem; }
.manticore-walk .done { color: #0f7a5c; font-weight: 600; min-height: 1.4em; }
.dark .manticore-walk .done { color: #4fd1a5; }
.manticore-walk .row { display: flex; gap: 8px; align-items: center; }
.manticore-walk .grow { flex: 1; }
.manticore-walk button { font: inherit; cursor: pointer; border-radius: 999px; padding: 3px 14px;
  border: 1px solid var(--border-color-primary); background: none; color: inherit; }
.manticore-walk button.next { background: #20709f; border-color: #20709f; color: #fff; }
`;

const add = (parent, name, className, text = "") => {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
};

class Walk {
  constructor(place, steps) {
    this.steps = steps;
    add(place, "style", "", STYLE);
    this.open = add(place, "button", "walk-open", "Start here");
    this.open.onclick = () => this.show(0);
    document.addEventListener("click", (event) => {
      const step = this.steps[this.at];
      if (step?.click && event.target.closest?.(step.click)) this.praise();
    }, true);
    document.addEventListener("manticore:mixed", ({ detail }) => {
      if (this.steps[this.at]?.mixed && detail.byHand) this.praise();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.card) this.end();
    });
    // A newcomer sees the top of the page first, with the diagram.
    if (!localStorage.getItem(KEPT)) this.show(0, false);
  }

  show(at, scroll = true) {
    this.at = at;
    const step = this.steps[at];
    for (const tab of document.querySelectorAll('[role="tab"]')) {
      if (step.tab && tab.textContent.trim() === step.tab) tab.click();
    }
    this.card?.remove();
    this.card = add(document.body, "section", "manticore-walk");
    this.card.setAttribute("aria-label", "Start here");
    add(this.card, "div", "count", `Step ${at + 1} of ${this.steps.length}`);
    const title = add(this.card, "h2", "", step.title);
    title.tabIndex = -1;
    add(this.card, "p", "", step.text);
    this.praised = add(this.card, "p", "done");
    this.praised.setAttribute("aria-live", "polite");
    const row = add(this.card, "div", "row");
    add(row, "button", "end", "Close").onclick = () => this.end();
    add(row, "span", "grow");
    if (at) add(row, "button", "back", "Back").onclick = () => this.show(at - 1);
    const last = at === this.steps.length - 1;
    const next = add(row, "button", "next", last ? "Done" : "Next");
    next.onclick = () => (last ? this.end() : this.show(at + 1));
    title.focus({ preventScroll: true });
    clearTimeout(this.waiting);
    this.ring(step.around, 40, scroll);
  }

  // What a step is about may come a moment later, such as the picture of the first hybrid.
  ring(selector, tries, scroll) {
    for (const node of document.querySelectorAll(`.${RING}`)) node.classList.remove(RING);
    const target = document.querySelector(selector);
    if (target?.offsetParent) {
      target.classList.add(RING);
      if (scroll) target.scrollIntoView({ block: "nearest" });
    } else if (tries) {
      this.waiting = setTimeout(() => this.ring(selector, tries - 1, scroll), 250);
    }
  }

  praise() {
    this.praised.textContent = this.steps[this.at].praise ?? "";
  }

  end() {
    clearTimeout(this.waiting);
    for (const node of document.querySelectorAll(`.${RING}`)) node.classList.remove(RING);
    this.card?.remove();
    this.card = null;
    this.at = -1;
    localStorage.setItem(KEPT, "seen");
    this.open.focus({ preventScroll: true });
  }
}

export function mount(place, steps) {
  return new Walk(place, steps);
}
