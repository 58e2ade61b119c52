// Data comes as base64 of compressed JSON (presel/report/packed.py): until it is text in a node, nothing in it can be markup.
const presel = {
  unpack: async (id) => {
    const holder = document.getElementById(id);
    if (!holder) return null;
    if (!globalThis.DecompressionStream) {
      holder.parentElement.querySelector(".needs-script").textContent = "This browser is too old for this part of the page.";
      return null;
    }
    const bytes = Uint8Array.from(atob(holder.dataset.packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  },
  // An element with its class and its words, or with children.
  element: (name, kind, ...inside) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.append(...inside.filter((one) => one !== null && one !== ""));
    return made;
  },
  // Cell `number` of the page's sheets of small pictures.
  cell: (number, words, [columns, rows]) => {
    const made = presel.element("span", "cell");
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", number < 0 ? `${words}: no picture here` : words);
    if (number < 0) { made.classList.add("none"); return made; }
    const inside = number % (columns * rows);
    made.classList.add(`s${Math.floor(number / (columns * rows))}`);
    made.style.backgroundPosition = `${100 * (inside % columns) / (columns - 1)}% ${100 * Math.floor(inside / columns) / (rows - 1)}%`;
    return made;
  },
};
