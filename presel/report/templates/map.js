// The map: a canvas that answers questions, by mouse, finger and keyboard.
(async () => {
  const home = document.getElementById("map");
  const data = home && (await presel.unpack("map-data"));
  if (!data) return;
  const { element, cell } = presel;
  const canvas = home.querySelector("canvas"), pen = canvas.getContext("2d");
  const find = (kind) => home.querySelector(kind);
  const tip = find(".tip"), told = find(".told"), pinned = find(".pinned"), region = find(".region");
  const count = data.x.length, KIND = ["pool", "reference", "picked"], SIZE = [2.3, 4, 4.2];
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  const state = { focus: -1, pin: -1, corner: -1, lasso: null, inside: null, alone: new Set(), colour: "task", drawing: false };
  let width = 0, height = 0, palette = [], ink = "", paper = "", rule = "", soft = "";

  // Where a dot lies on the canvas, in CSS pixels.
  const MARGIN = 14;
  const px = (i) => width / 2 + (data.x[i] / data.grid - view.x) * (width - 2 * MARGIN) * view.zoom;
  const py = (i) => height / 2 + (data.y[i] / data.grid - view.y) * (height - 2 * MARGIN) * view.zoom;
  const shown = (i) => state.alone.size === 0 || state.alone.has(data.task[i]);

  // Colours: one for each dot, by what was asked for.
  const RAMP = ["#2b4fa0", "#3f86b5", "#57b3a2", "#a5c96a", "#f0c33c", "#e0703a"];
  const TWELVE = ["#4269d0", "#e8a317", "#e4572e", "#3aa99f", "#3d9a50", "#ea7fb4", "#8f5bd6", "#7fb0f5", "#9c6b4e", "#a2a72a", "#b8336a", "#5d7a8c"];
  const scale = (values) => {
    const known = values.filter((value) => value !== null);
    const low = known.reduce((a, b) => Math.min(a, b), Infinity), high = known.reduce((a, b) => Math.max(a, b), -Infinity);
    const step = (value) => Math.min(RAMP.length - 1, Math.floor(RAMP.length * (value - low) / ((high - low) || 1)));
    return { low, high, any: known.length > 0, of: (value) => (value === null ? null : RAMP[step(value)]) };
  };
  const paint = () => {
    const by = state.colour, key = find(".ramp");
    key.replaceChildren();
    if (by === "task") palette = data.task.map((task) => data.colours[task]);
    else if (by === "origin") palette = data.kind.map((kind) => ["#9a9aa2", "#e8a317", "#2c7fb8"][kind]);
    else if (by === "cluster") palette = data.cluster.map((number) => (number === null ? null : TWELVE[number % 12]));
    else {
      const found = scale(data[by]);
      palette = data[by].map(found.of);
      if (found.any) key.append(element("span", "", found.low.toFixed(2)), ...RAMP.map((hue) => { const box = element("i"); box.style.background = hue; return box; }), element("span", "", found.high.toFixed(2)));
    }
    key.append(element("span", "", { cluster: "neighbouring numbers differ; twelve colours, used again", irs: "only reference samples have a score; the others are grey", centrality: "grey: not ranked", origin: "grey: not instructed; yellow: reference; blue: picked" }[by] ?? ""));
    draw();
  };

  const draw = () => {
    const style = getComputedStyle(document.documentElement), dpr = devicePixelRatio || 1;
    [ink, paper, rule, soft] = ["--ink", "--raised", "--rule", "--soft"].map((name) => style.getPropertyValue(name));
    width = canvas.clientWidth; height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * dpr) || canvas.height !== Math.round(height * dpr)) {
      canvas.width = Math.round(width * dpr); canvas.height = Math.round(height * dpr);
    }
    pen.setTransform(dpr, 0, 0, dpr, 0, 0);
    pen.clearRect(0, 0, width, height);
    const grow = Math.min(2.2, Math.sqrt(view.zoom)) * (count > 6000 ? 0.75 : 1);
    for (let kind = 0; kind < 3; kind += 1) {
      for (let i = 0; i < count; i += 1) {
        if (data.kind[i] !== kind) continue;
        const x = px(i), y = py(i);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        const lit = shown(i) && (!state.inside || state.inside.has(i));
        pen.beginPath();
        pen.arc(x, y, SIZE[kind] * grow, 0, 7);
        pen.globalAlpha = lit ? (kind === 0 ? 0.45 : 1) : 0.18;
        const hue = lit ? palette[i] ?? soft : soft;
        if (kind === 1) { pen.fillStyle = paper; pen.fill(); pen.lineWidth = 2; pen.strokeStyle = hue; pen.stroke(); }
        else { pen.fillStyle = hue; pen.fill(); if (kind === 2 && lit) { pen.lineWidth = 1.2; pen.strokeStyle = ink; pen.stroke(); } }
      }
    }
    pen.globalAlpha = 1;
    const line = (points, closed) => {
      pen.beginPath(); points.forEach(([x, y], n) => (n ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (closed) pen.closePath();
      pen.lineWidth = 1.5; pen.strokeStyle = ink; pen.setLineDash([5, 4]); pen.stroke(); pen.setLineDash([]);
    };
    if (state.lasso) line(state.lasso, false);
    if (state.corner >= 0 && state.focus >= 0) {
      const [a, b, c, d] = [px(state.corner), py(state.corner), px(state.focus), py(state.focus)];
      line([[a, b], [c, b], [c, d], [a, d]], true);
    }
    if (state.pin >= 0) {
      for (const near of [data.picked[state.pin], data.skipped[state.pin]]) {
        if (near) line([[px(state.pin), py(state.pin)], [px(near[0]), py(near[0])]], false);
      }
    }
    for (const [i, size] of [[state.focus, 9], [state.pin, 12]]) {
      if (i < 0) continue;
      pen.beginPath(); pen.arc(px(i), py(i), size, 0, 7); pen.lineWidth = 2.4; pen.strokeStyle = ink; pen.stroke();
    }
  };

  const facts = (i) => {
    const found = [`${data.tasks[data.task[i]] || "(no task)"}`];
    if (data.cluster[i] !== null) found.push(`cluster ${data.cluster[i]}`);
    if (data.rank[i] !== null) found.push(`rank ${data.rank[i]}`);
    if (data.centrality[i] !== null) found.push(`centrality ${data.centrality[i].toFixed(2)}`);
    if (data.irs[i] !== null) found.push(`IRS ${data.irs[i].toFixed(2)}`);
    return found.join(" · ");
  };
  const words = (i) => {
    const said = data.said[i];
    const text = (kind, content) => { const made = element("p", kind, content); made.dir = "auto"; return made; };
    return [
      element("p", "key", element("bdi", "", data.key[i])), element("p", "meta", facts(i)), element("p", "why", data.why[i]),
      said ? text("q", said[0]) : null, said ? text("a", said[1]) : null,
    ].filter(Boolean);
  };
  const card = (heading, i, note) => {
    const made = element("div", "card", element("h3", "", heading));
    if (i < 0) { made.append(element("p", "meta", note)); return made; }
    made.append(cell(data.cell[i], data.key[i], data.sheet), ...(note ? [element("p", "cosine", note)] : []), ...words(i));
    if (heading !== "Pinned") {
      const go = element("button", "go", "pin this one"); go.type = "button";
      go.addEventListener("click", () => pin(i));
      made.append(go);
    }
    return made;
  };

  const focus = (i, spoken) => {
    state.focus = i;
    tip.hidden = i < 0;
    if (i >= 0) {
      tip.replaceChildren(cell(data.cell[i], data.key[i], data.sheet), element("div", "", ...words(i)));
      const x = px(i), y = py(i), room = tip.offsetWidth + 24;
      tip.style.left = `${Math.max(4, Math.min(width - tip.offsetWidth - 4, x + room > width ? x - room + 8 : x + 16))}px`;
      tip.style.top = `${Math.max(4, Math.min(height - tip.offsetHeight - 4, y - 20))}px`;
      if (spoken) told.textContent = `${data.key[i]}. ${facts(i)}. ${data.why[i]}`;
    }
    draw();
  };
  const pin = (i) => {
    state.pin = i;
    pinned.hidden = i < 0;
    if (i >= 0) {
      const beside = (heading, near, none) => card(heading, near ? near[0] : -1, near ? `cosine ${near[1].toFixed(3)}` : none);
      pinned.replaceChildren(
        card("Pinned", i, ""),
        beside("Its nearest picked or reference image", data.picked[i], "none in its task on this map"),
        beside("Its nearest skipped image", data.skipped[i], "none in its task on this map"),
      );
      told.textContent = `Pinned ${data.key[i]}. Its neighbours stand below the map.`;
    }
    draw();
  };

  const LISTED = 120;
  const list = (inside) => {
    state.inside = inside && inside.length ? new Set(inside) : null;
    region.hidden = !state.inside;
    if (state.inside) {
      const chosen = inside.filter((i) => data.kind[i] !== 0).length;
      const rows = [...inside].sort((a, b) => data.kind[b] - data.kind[a] || data.task[a] - data.task[b] || a - b).slice(0, LISTED);
      const note = `${inside.length} samples in this region, ${chosen} of them instructed${inside.length > LISTED ? `; the first ${LISTED}` : ""}.`;
      const clear = element("button", "go", "clear"); clear.type = "button";
      clear.addEventListener("click", () => list(null));
      const items = rows.map((i) => {
        const go = element("button", "", cell(data.cell[i], data.key[i], data.sheet), element("span", "", element("bdi", "", data.key[i]), element("small", "", `${KIND[data.kind[i]]} · ${facts(i)}`)));
        go.type = "button"; go.addEventListener("click", () => { focus(i, true); pin(i); });
        return element("li", "", go);
      });
      region.replaceChildren(element("p", "note", note, " ", clear), element("ul", "", ...items));
      told.textContent = note;
    }
    draw();
  };

  // The dot under a pointer, and the nearest one in a direction from the focused dot.
  const at = (x, y) => {
    let best = -1, least = 14 ** 2;
    for (let i = 0; i < count; i += 1) {
      if (!shown(i)) continue;
      const far = (px(i) - x) ** 2 + (py(i) - y) ** 2 - data.kind[i] * 2;
      if (far < least) { best = i; least = far; }
    }
    return best;
  };
  const toward = (dx, dy) => {
    const from = state.focus >= 0 ? [px(state.focus), py(state.focus)] : [width / 2, height / 2];
    let best = -1, least = Infinity;
    for (let i = 0; i < count; i += 1) {
      if (i === state.focus || !shown(i)) continue;
      const x = px(i) - from[0], y = py(i) - from[1], ahead = x * dx + y * dy, aside = Math.abs(x * dy - y * dx);
      if (state.focus >= 0 && (ahead <= 0.01 || aside > 2 * ahead)) continue;
      const far = Math.hypot(x, y) + 2 * aside;
      if (far < least) { best = i; least = far; }
    }
    return best;
  };
  const intoView = (i) => {
    if (i < 0) return;
    if (px(i) < 10 || px(i) > width - 10) view.x = data.x[i] / data.grid;
    if (py(i) < 10 || py(i) > height - 10) view.y = data.y[i] / data.grid;
  };
  const zoomBy = (factor, x = width / 2, y = height / 2) => {
    const before = view.zoom;
    view.zoom = Math.min(60, Math.max(1, view.zoom * factor));
    const gain = 1 / before - 1 / view.zoom;
    view.x += gain * (x - width / 2) / (width - 2 * MARGIN); view.y += gain * (y - height / 2) / (height - 2 * MARGIN);
    hold();
  };
  const panBy = (dx, dy) => { view.x -= dx / (width - 2 * MARGIN) / view.zoom; view.y -= dy / (height - 2 * MARGIN) / view.zoom; hold(); };
  const hold = () => {
    for (const axis of ["x", "y"]) view[axis] = view.zoom === 1 ? 0.5 : Math.min(1, Math.max(0, view[axis]));
    canvas.style.touchAction = view.zoom > 1 || state.drawing ? "none" : "pan-y";
    draw();
  };
  const whole = () => { Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 }); hold(); };

  const within = (polygon, x, y) => {
    let odd = false;
    for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a, a += 1) {
      const [ax, ay] = polygon[a], [bx, by] = polygon[b];
      if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
    }
    return odd;
  };
  const insideOf = (polygon) => { const found = []; for (let i = 0; i < count; i += 1) if (shown(i) && within(polygon, px(i), py(i))) found.push(i); return found; };

  const lassoButton = find("[data-do=lasso]");
  const setDrawing = (on) => { state.drawing = on; lassoButton.setAttribute("aria-pressed", on); canvas.classList.toggle("drawing", on); hold(); };
  const corner = () => {
    if (state.focus < 0) return;
    if (state.corner < 0) { state.corner = state.focus; told.textContent = "One corner is set: go to the other and press L again."; draw(); return; }
    const box = [state.corner, state.focus].map((i) => [px(i), py(i)]);
    const [low, high] = [0, 1].map((side) => box.reduce((a, b) => a.map((v, n) => (side ? Math.max(v, b[n]) : Math.min(v, b[n])))));
    state.corner = -1;
    list(insideOf([[low[0] - 1, low[1] - 1], [high[0] + 1, low[1] - 1], [high[0] + 1, high[1] + 1], [low[0] - 1, high[1] + 1]]));
  };
  const escape = () => {
    if (state.corner >= 0) state.corner = -1;
    else if (state.inside) list(null);
    else if (state.pin >= 0) pin(-1);
    else focus(-1);
    draw();
  };

  // Mouse and finger.
  const touching = new Map();
  let moved = 0;
  const spot = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    touching.set(event.pointerId, spot(event)); moved = 0;
    if (state.drawing && touching.size === 1) state.lasso = [spot(event)];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = spot(event), before = touching.get(event.pointerId);
    if (!before) { if (event.pointerType === "mouse") { const i = at(x, y); if (i !== state.focus) focus(i); } return; }
    moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
    if (touching.size === 2) {
      const other = [...touching].find(([id]) => id !== event.pointerId)[1], apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      zoomBy(apart([x, y]) / (apart(before) || 1), (x + other[0]) / 2, (y + other[1]) / 2);
    } else if (state.lasso) { state.lasso.push([x, y]); draw(); }
    else if (moved > 4) { tip.hidden = true; panBy(x - before[0], y - before[1]); }
    touching.set(event.pointerId, [x, y]);
  });
  const up = (event) => {
    if (!touching.delete(event.pointerId)) return;
    if (state.lasso) { const polygon = state.lasso; state.lasso = null; setDrawing(false); list(polygon.length > 3 ? insideOf(polygon) : null); return; }
    if (event.type === "pointerup" && moved <= 4) { const i = at(...spot(event)); focus(i); pin(i); }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => { if (document.activeElement !== canvas) focus(-1); });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return; // the page scrolls on
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 300), ...spot(event));
  }, { passive: false });

  // Keys.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const KEYS = { "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: whole, Enter: () => pin(state.focus), " ": () => pin(state.focus), l: corner, L: corner, Escape: escape };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key], act = KEYS[event.key];
    if (!arrow && !act) return;
    event.preventDefault();
    if (act) { act(); return; }
    if (event.shiftKey) { panBy(-60 * arrow[0], -60 * arrow[1]); return; }
    const i = toward(...arrow);
    if (i >= 0) { intoView(i); focus(i, true); }
  });

  // Buttons, colours and tasks.
  const DO = { in: () => zoomBy(1.5), out: () => zoomBy(1 / 1.5), whole, lasso: () => setDrawing(!state.drawing) };
  for (const button of home.querySelectorAll("[data-do]")) button.addEventListener("click", () => DO[button.dataset.do]());
  find("select").addEventListener("change", (event) => { state.colour = event.target.value; paint(); });
  for (const button of home.querySelectorAll(".tasks button")) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      state.alone = new Set([...home.querySelectorAll(".tasks [aria-pressed=true]")].map((one) => Number(one.dataset.t)));
      draw();
    });
  }
  new ResizeObserver(draw).observe(canvas);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", draw);
  home.presel = { focus: () => state.focus, at: (i) => [px(i), py(i)], alone: () => [...state.alone], data }; // for tests
  canvas.dataset.ready = count;
  paint();
})();
