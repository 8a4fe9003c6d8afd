// What the drawings of the explorer share; it is put in front of each module.

const SVG = "http://www.w3.org/2000/svg";

const make = (name, attributes = {}, parent = null) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent?.append(node);
  return node;
};

const html = (name, className, parent, text = "") => {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
};

const percent = (share) => `${Math.round(share * 100)}%`;
const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));

// Mark an element `dark` where the page behind it is: Gradio, Jupyter and others each say it
// differently, so the background that is seen decides.
function shaded(root) {
  const look = () => {
    let node = root.parentElement;
    let color = "";
    for (; node && !/rgb\(/.test(color); node = node.parentElement) {
      color = getComputedStyle(node).backgroundColor;
    }
    const [red, green, blue] = (color.match(/\d+/g) ?? [255, 255, 255]).map(Number);
    root.classList.toggle("dark", 0.3 * red + 0.6 * green + 0.1 * blue < 110);
  };
  const observer = new MutationObserver(look);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class", "style"] });
  }
  return { look, end: () => observer.disconnect() };
}

