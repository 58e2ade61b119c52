// The list of instructions: searched and filtered in the page, fifty at a time.
(async () => {
  const home = document.getElementById("instructions");
  const data = home && (await presel.unpack("list-data"));
  if (!data) return;
  const { element, cell } = presel;
  const [KEY, TASK, MODEL, ORIGIN, CELL, TURNS, COST, REASON, DETAIL] = [...Array(9).keys()];
  const AT_ONCE = 50;
  const rows = data.rows, holder = home.querySelector(".found"), told = home.querySelector(".count"), more = home.querySelector(".more-of");
  const input = (name) => home.querySelector(`[name=${name}]`);
  const plainly = rows.map((row) => [row[KEY], row[REASON], row[DETAIL], ...row[TURNS].flat()].join("\n").toLowerCase());
  const length = rows.map((row) => row[TURNS].reduce((most, turn) => Math.max(most, turn[1].split(/\s+/).filter(Boolean).length), 0));

  const fill = (name, values) => values.forEach(([value, words]) => { const one = element("option", "", words); one.value = value; input(name).append(one); });
  fill("task", data.tasks.map((task, i) => [i, task || "(no task)"]));
  fill("model", data.models.map((model, i) => [i, model || "(none)"]));
  fill("state", [...data.origins.map((origin, i) => [`o${i}`, origin]).filter(([, origin]) => origin), ...[...new Set(rows.map((row) => row[REASON]).filter(Boolean))].sort().map((reason) => [`r${reason}`, `rejected: ${reason}`])]);

  const LENGTHS = { short: (n) => n < 10, middle: (n) => n >= 10 && n <= 50, long: (n) => n > 50 };
  const TURN = { 1: (n) => n === 1, 2: (n) => n === 2, 3: (n) => n > 2 };
  const matching = () => {
    const [task, model, state, turns, words] = ["task", "model", "state", "turns", "words"].map((name) => input(name).value);
    const asked = input("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    return [...rows.keys()].filter((i) => {
      const row = rows[i];
      if (task !== "" && row[TASK] !== Number(task)) return false;
      if (model !== "" && row[MODEL] !== Number(model)) return false;
      if (state.startsWith("o") && (row[REASON] || row[ORIGIN] !== Number(state.slice(1)))) return false;
      if (state.startsWith("r") && row[REASON] !== state.slice(1)) return false;
      if (turns && !TURN[turns](row[TURNS].length)) return false;
      if (words && !LENGTHS[words](length[i])) return false;
      return asked.every((word) => plainly[i].includes(word));
    });
  };

  const text = (kind, content) => { const made = element("p", kind, content); made.dir = "auto"; return made; };
  const item = (i) => {
    const row = rows[i];
    const about = row[REASON] ? `rejected: ${row[REASON]}` : [data.origins[row[ORIGIN]], data.models[row[MODEL]], `$${row[COST].toFixed(4)}`].filter(Boolean).join(" · ");
    const said = row[TURNS].flatMap(([question, response]) => [text("q", question), text("a", response)]);
    return element("li", "", cell(row[CELL], row[KEY], data.sheet), element("div", "", ...said, ...(row[DETAIL] ? [text("a", row[DETAIL])] : []),
      element("p", "meta", element("bdi", "", data.tasks[row[TASK]] || "(no task)"), ` · ${about} · `, element("bdi", "", row[KEY]))));
  };
  let found = [], rendered = 0;
  const render = () => {
    holder.append(...found.slice(rendered, rendered + AT_ONCE).map(item));
    rendered = Math.min(found.length, rendered + AT_ONCE);
    more.hidden = rendered >= found.length;
  };
  const search = () => {
    found = matching();
    rendered = 0;
    holder.replaceChildren();
    told.textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
    render();
  };
  let waiting = 0;
  home.querySelector(".filters").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  more.addEventListener("click", render);
  search();
  home.dataset.ready = rows.length;
})();
