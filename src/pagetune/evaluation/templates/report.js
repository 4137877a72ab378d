"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read("data"), pictures = read("pictures");
  const STEP = 100, ON_PAPER = 200;
  const rows = data.rows.map(([id, text, context, kind, doc, change, scores, ranks, judged, base, tuned]) => ({
    id, text, context, kind: data.kinds[kind], document: data.documents[doc], change, scores, ranks,
    judged: new Map(judged), first: [base, tuned],
    outcome: change > 0 ? "better" : change < 0 ? "worse" : "same",
  }));
  const byId = new Map(rows.map((row) => [row.id, row]));
  const grades = new Set(rows.flatMap((row) => [...row.judged.values()]));
  const [BASE, TUNED] = data.compared.map((name) => data.systems.indexOf(name));

  // Elements, from plain text only: nothing that users wrote is ever read as HTML.
  const el = (tag, given = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(given)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(3);
  const counted = (number) => number.toLocaleString("en");
  const pageName = (page) => data.pages[page].filter(Boolean).join(", ");
  const rankOf = (row, system) => (row.ranks[system] ? `rank ${row.ranks[system]}` : `not in the first ${data.depth}`);

  // The pictures: each stands once in this file, and is an image only while it is looked at.
  const source = (base64) => pictures.type + base64;
  const pictureOf = (page) => pictures.pages[page] ?? data.seen[page];
  const dialog = document.getElementById("large");
  const enlarge = (page, told) => {
    dialog.querySelector("img").src = source(data.seen[page] ?? pictureOf(page));
    dialog.querySelector("img").alt = pageName(page);
    dialog.querySelector("p").textContent = `${pageName(page)}. ${told}`;
    dialog.showModal();
  };
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  const thumb = (row, page, place) => {
    const grade = row.judged.get(page), best = grade === Math.max(...row.judged.values());
    const told = [place ? `Put at ${place}` : "The right page", grade && place ? "answers the query" : "", grade && grades.size > 1 ? `grade ${grade}` : ""].filter(Boolean).join(", ") + ".";
    const [doc, label] = data.pages[page];
    const marks = grade && place ? [el("span", { class: "mark" }, grades.size > 1 ? `✓ ${grade}` : "✓")] : [];
    const kind = `thumb${grade && place ? (best ? " hit" : " hit part") : ""}`;
    const picture = pictureOf(page);
    const box = picture
      ? el("button", { type: "button", class: kind, title: `${pageName(page)}. ${told}`, on: { click: () => enlarge(page, told) } },
          el("img", { src: source(picture), alt: pageName(page), decoding: "async" }), ...marks)
      : el("div", { class: `${kind} blank`, title: told }, pageName(page), ...marks);
    const name = el("div", { class: "place", title: pageName(page) }, place ? el("b", {}, `${place} `) : "", doc ? label.replace("page ", "p. ") : label);
    if (doc) name.append(el("br"), doc);
    return el("div", {}, box, name);
  };

  const strip = (row, side) => {
    const system = side ? TUNED : BASE, name = data.systems[system];
    const pages = row.first[side];
    const colour = side ? "tuned" : "base";
    return el("section", { class: colour },
      el("h4", {}, el("span", { class: "dot", style: `background: var(--${colour})` }), el("strong", {}, name), ` · ${rankOf(row, system)} · ${data.metric} ${row.scores[system].toFixed(3)}`),
      pages.length ? el("div", { class: "strip" }, ...pages.map((page, place) => thumb(row, page, place + 1))) : el("p", { class: "missing" }, "No answer."));
  };

  const body = (row, open) => {
    const shown = [...row.judged.keys()].slice(0, 3), more = row.judged.size - shown.length;
    const right = el("section", { class: "right" }, el("h4", {}, shown.length > 1 ? "right pages" : "right page"),
      el("div", { class: "strip" }, ...shown.map((page) => thumb(row, page, 0))));
    if (more > 0) right.append(el("p", { class: "small" }, `and ${more} more`));
    return [el("div", { class: "compare" }, right, strip(row, 0), strip(row, 1)), data.maps[row.id] ? heat(row, data.maps[row.id], open) : null];
  };

  // The heatmap of late interaction: for each token its cosine with each part of the page, as bytes.
  const heat = (row, maps, open) => {
    const details = el("details", { class: "heat", open }, el("summary", {}, "Where the tuned model finds the words of the query"));
    const views = maps.map((map) => {
      const values = Uint8Array.from(atob(map.values), (letter) => letter.charCodeAt(0));
      const [height, width] = map.shape, [low, high] = map.range;
      const canvas = el("canvas", { width, height }), from = el("span"), to = el("span");
      const caption = row.judged.has(map.page) ? "answers the query" : "put first by tuned, does not answer it";
      const cosine = (value) => (low + (value / 255) * (high - low)).toFixed(2).replace("-", "−");
      return {
        figure: el("figure", {}, el("div", { class: "map" }, el("img", { src: source(data.seen[map.page]), alt: pageName(map.page) }), canvas),
          el("figcaption", {}, `${pageName(map.page)}: ${caption}. `, el("span", { class: "legend" }, "cosine ", from, el("span", { class: "scale" }), to))),
        show: (token) => {
          const size = values.length / map.tokens.length;
          const shown = token < 0 ? mean(values, size) : values.subarray(token * size, (token + 1) * size);
          // A token is shown on the scale of all tokens, so that one that is found nowhere looks like it.
          const all = token < 0 ? shown : values;
          const middle = median(all), top = all.reduce((a, b) => Math.max(a, b), 0);
          paint(canvas, Float32Array.from(shown, (value) => (value - middle) / (top - middle || 1)));
          from.textContent = `≤ ${cosine(middle)}`;
          to.textContent = cosine(top);
        },
      };
    });
    const show = (token) => views.forEach((view) => view.show(token));
    const buttons = [["the whole query", -1], ...maps[0].tokens.map((text, token) => [text.trim() || "␣", token])].map(([text, token]) =>
      el("button", { type: "button", "aria-pressed": String(token < 0), on: { click: (event) => {
        buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === event.currentTarget)));
        show(token);
      } } }, text));
    details.append(el("div", { class: "tokens", role: "group", "aria-label": "Token" }, ...buttons), el("div", { class: "maps" }, ...views.map((view) => view.figure)));
    show(-1);
    return details;
  };
  const mean = (values, size) => {
    const found = new Float32Array(size);
    values.forEach((value, place) => { found[place % size] += (value * size) / values.length; });
    return found;
  };
  const median = (values) => Float32Array.from(values).sort()[values.length >> 1];
  const COLOURS = [[255, 255, 255], [255, 224, 138], [255, 154, 61], [224, 51, 31]];
  const paint = (canvas, values) => {
    const context = canvas.getContext("2d", { willReadFrequently: true }), image = context.createImageData(canvas.width, canvas.height);
    values.forEach((value, place) => {
      const along = Math.min(0.9999, Math.max(0, value)) * (COLOURS.length - 1), step = Math.floor(along);
      for (let colour = 0; colour < 3; colour++) image.data[4 * place + colour] = COLOURS[step][colour] + (along - step) * (COLOURS[step + 1][colour] - COLOURS[step][colour]);
      image.data[4 * place + 3] = 255;
    });
    context.putImageData(image, 0, 0);
  };

  // The table: filtered, sorted, and made in parts.
  const KEYS = {
    change: { up: false, of: (row) => row.change },
    size: { up: false, of: (row) => Math.abs(row.change) },
    text: { up: true, of: (row) => row.text.toLowerCase() },
    kind: { up: true, of: (row) => row.kind },
    document: { up: true, of: (row) => row.document },
  };
  data.systems.forEach((_, system) => { KEYS[`rank${system}`] = { up: false, of: (row) => row.ranks[system] || Infinity }; });
  const state = { key: "size", up: false, outcome: "", shown: 0 };
  const find = (id) => document.getElementById(id);
  const table = find("queries"), list = table.tBodies[0];
  let chosen = [];

  const words = (row) => (row.words ??= [row.id, row.text, row.context, row.kind, row.document, ...[...row.judged.keys()].map(pageName)].join(" ").toLowerCase());
  const filter = () => {
    const wanted = find("find").value.trim().toLowerCase().split(/\s+/).filter(Boolean), kind = find("kind").value, doc = find("document").value;
    const others = rows.filter((row) => (!kind || row.kind === kind) && (!doc || row.document === doc) && wanted.every((word) => words(row).includes(word)));
    for (const button of document.querySelectorAll("[data-outcome]")) {
      const outcome = button.dataset.outcome;
      button.setAttribute("aria-pressed", String(outcome === state.outcome));
      button.querySelector("b").textContent = counted(others.filter((row) => !outcome || row.outcome === outcome).length);
    }
    chosen = others.filter((row) => !state.outcome || row.outcome === state.outcome);
    const of = KEYS[state.key].of, way = state.up ? 1 : -1;
    const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    chosen.sort((a, b) => way * order(of(a), of(b)) || order(Math.abs(b.change), Math.abs(a.change)) || order(a.id, b.id));
    for (const head of table.querySelectorAll("th[data-key]")) {
      if (head.dataset.key === state.key) head.setAttribute("aria-sort", state.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    find("sort").value = state.key;
    fill();
  };
  const line = (row) => {
    const cells = data.systems.map((_, system) => el("td", { class: "rank" }, row.ranks[system] ? String(row.ranks[system]) : `> ${data.depth}`));
    const about = [data.kinds.length > 1 && row.kind, row.document, row.context].filter(Boolean).join(" · ");
    const inline = data.systems.map((name, system) => `${name} ${row.ranks[system] || `> ${data.depth}`}`).join(" · ");
    const button = el("button", { type: "button", "aria-expanded": "false" }, row.text);
    const made = el("tr", { class: row.outcome, "data-id": row.id }, el("td", {}, el("span", { class: "change" }, signed(row.change))),
      el("td", { class: "query" }, button, el("small", {}, about), el("small", { class: "ranks" }, inline)), ...cells);
    button.addEventListener("click", () => {
      const open = made.classList.toggle("open");
      button.setAttribute("aria-expanded", String(open));
      if (open) made.after(el("tr", { class: `detail ${row.outcome}` }, el("td", { colspan: 2 + cells.length }, ...body(row, true).filter(Boolean))));
      else made.nextElementSibling.remove();
    });
    return made;
  };
  const fill = () => {
    list.replaceChildren();
    extend(STEP);
    find("count").textContent = `${chosen.length < rows.length ? `${counted(chosen.length)} of ` : ""}${counted(rows.length)} ${rows.length === 1 ? "query" : "queries"}`;
    find("none").hidden = chosen.length > 0;
    table.hidden = chosen.length === 0;
  };
  const extend = (until) => {
    list.append(...chosen.slice(list.querySelectorAll("tr[data-id]").length, until).map(line));
    state.shown = Math.min(until, chosen.length);
    const left = chosen.length - state.shown;
    find("more").hidden = left === 0;
    find("more").textContent = `Show ${Math.min(STEP, left)} more of ${counted(left)}`;
  };
  const sortBy = (key, up = KEYS[key].up) => { Object.assign(state, { key, up }); filter(); };

  for (const id of ["find", "kind", "document"]) find(id).addEventListener("input", filter);
  for (const button of document.querySelectorAll("[data-outcome]")) button.addEventListener("click", () => { state.outcome = button.dataset.outcome; filter(); });
  find("sort").addEventListener("input", (event) => sortBy(event.target.value));
  find("reverse").addEventListener("click", () => sortBy(state.key, !state.up));
  for (const head of table.querySelectorAll("th[data-key]")) head.querySelector("button").addEventListener("click", () => sortBy(head.dataset.key, head.dataset.key === state.key ? !state.up : undefined));
  find("more").addEventListener("click", () => extend(state.shown + STEP));
  find("clear").addEventListener("click", () => { for (const id of ["find", "kind", "document"]) find(id).value = ""; state.outcome = ""; filter(); });
  addEventListener("beforeprint", () => {
    extend(Math.max(state.shown, ON_PAPER));
    const left = chosen.length - state.shown;
    find("unprinted").textContent = left ? `and ${counted(left)} more, on the screen` : "";
  });

  const beside = (page, told) => {
    const [doc, label] = data.pages[page], picture = pictureOf(page);
    const box = picture
      ? el("button", { type: "button", class: "thumb", title: pageName(page), on: { click: () => enlarge(page, told) } }, el("img", { src: source(picture), alt: pageName(page), decoding: "async" }))
      : el("div", { class: "thumb blank" }, pageName(page));
    return el("section", {}, el("h4", {}, told), box, el("div", { class: "place", title: pageName(page) }, doc ? `${label.replace("page ", "p. ")} · ${doc}` : label));
  };
  for (const card of document.querySelectorAll("[data-suspect]")) {
    const [judged, page] = data.suspects[card.dataset.suspect];
    card.append(el("div", { class: "beside" }, beside(judged, "The judged page"), beside(page, "In doubt")));
  }
  for (const card of document.querySelectorAll("[data-query]")) {
    const row = byId.get(card.dataset.query);
    // Of gains and of losses the first shows its maps at once.
    if (row) card.append(...body(row, !card.previousElementSibling?.matches(".card")).filter(Boolean));
  }
  const held = Object.keys(pictures.pages).length;
  if (pictures.wanted && held < pictures.wanted && held) find("pictured").textContent = `Pictures of ${counted(held)} of the ${counted(pictures.wanted)} pages named here: those of the largest changes, as many as keep this file small.`;
  else if (pictures.wanted && !held) find("pictured").textContent = "Without pictures of the pages: none could be made where this report was written.";
  filter();

  // Light or dark: as the system has it, until it is chosen here.
  const root = document.documentElement, button = find("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  try { const kept = localStorage.getItem("pagetune-theme"); if (kept === "dark" || kept === "light") root.dataset.theme = kept; } catch { /* no storage here */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("pagetune-theme", root.dataset.theme); } catch { /* no storage here */ }
    label();
  });
  dark.addEventListener("change", label);
  button.hidden = false;
  label();
})();
