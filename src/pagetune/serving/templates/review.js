"use strict";
(async () => {
  const find = (id) => document.getElementById(id);
  const state = await (await fetch("/api/review")).json();
  const entries = state.entries;
  // Begin with what nobody has decided.
  let at = Math.max(0, entries.findIndex((one) => !one.decision)), busy = false;
  if (entries.every((one) => one.decision)) at = entries.length;
  const WORDS = { 2: "It answers", 1: "It answers in part", 0: "It does not answer" };

  const picture = (figure, page) => {
    const button = figure.querySelector(".page"), image = button.querySelector("img");
    button.classList.remove("lost");
    button.querySelector("span")?.remove();
    if (page === null || page === undefined) { button.classList.add("lost"); return; }
    figure.querySelector("span").textContent = state.pages[page];
    image.alt = state.pages[page];
    image.src = `/pages/${page}`;
  };
  for (const button of document.querySelectorAll("figure .page")) {
    const image = button.querySelector("img");
    image.addEventListener("error", () => {
      button.classList.add("lost");
      const told = document.createElement("span");
      told.textContent = "This page cannot be drawn here.";
      button.append(told);
    });
    button.addEventListener("click", () => {
      if (button.classList.contains("lost")) return;
      const large = find("large").querySelector("img");
      large.src = image.src;
      large.alt = image.alt;
      find("large").showModal();
    });
  }
  find("large").addEventListener("click", () => find("large").close());

  const cell = (tag, text) => { const made = document.createElement(tag); made.textContent = text; return made; };
  const number = (value) => (value === null || value === undefined ? "–" : Number.isInteger(value) ? String(value) : value.toFixed(3));
  const show = () => {
    const done = entries.filter((one) => one.decision).length, one = entries[at];
    find("empty").hidden = entries.length > 0;
    find("progress").value = entries.length ? done / entries.length : 0;
    find("place").textContent = entries.length ? `${Math.min(at + 1, entries.length)} of ${entries.length} · ${done} decided · ${state.by}` : "";
    find("sheet").hidden = !one;
    find("actions").hidden = entries.length === 0;
    find("done").hidden = Boolean(one) || entries.length === 0;
    for (const button of document.querySelectorAll("[data-do]")) {
      const what = button.dataset.do;
      button.disabled = what === "back" ? at === 0 : what === "next" ? !one : what === "undo" ? !one?.decision : !one;
    }
    if (!one) {
      const yes = entries.filter((other) => other.decision?.grade > 0).length, left = entries.length - done;
      find("told").textContent = `${yes} confirmed, ${done - yes} rejected${left ? `, ${left} skipped` : ""}.`;
      return;
    }
    find("query").textContent = one.text || one.query;
    const decided = find("decided");
    decided.hidden = !one.decision;
    if (one.decision) {
      decided.textContent = `${WORDS[one.decision.grade]} · ${one.decision.by}, ${one.decision.at.slice(0, 16).replace("T", " ")} UTC`;
      decided.className = `decided ${one.decision.grade ? "yes" : "no"}`;
    }
    picture(find("judged"), one.judged);
    picture(find("doubt"), one.page);
    find("ranks").tBodies[0].replaceChildren(...Object.keys(one.ranks).map((name) => {
      const row = document.createElement("tr"), head = cell("th", name);
      head.scope = "row";
      row.append(head, ...[one.ranks, one.judged_ranks, one.scores, one.judged_scores].map((of) => cell("td", number(of[name]))));
      return row;
    }));
    find("note").value = one.decision?.note ?? "";
    const next = entries[at + 1];
    if (next) for (const page of [next.judged, next.page]) if (page !== null) new Image().src = `/pages/${page}`;
    window.scrollTo(0, 0);
  };

  const fail = (text) => { find("error").textContent = text; find("error").hidden = !text; };
  const decide = async (grade) => {
    const one = entries[at];
    if (!one || busy) return;
    busy = true;
    try {
      const answer = await fetch("/api/decide", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ entry: at, grade, note: find("note").value }),
      });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      one.decision = told.grade === null ? null : told;
      fail("");
      if (grade !== null) at += 1;
      find("note").blur();
    } catch (error) {
      fail(`Not kept: ${error.message}. Is the server still running?`);
    }
    busy = false;
    show();
  };
  const walk = (step) => { at = Math.min(entries.length, Math.max(0, at + step)); fail(""); show(); };
  const ACTS = { 2: () => decide(2), 1: () => decide(1), 0: () => decide(0), undo: () => decide(null), back: () => walk(-1), next: () => walk(1) };
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => ACTS[button.dataset.do]());
  const KEYS = { y: "2", p: "1", n: "0", u: "undo", arrowleft: "back", arrowright: "next" };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target === find("note") || find("large").open) return;
    const act = KEYS[event.key.toLowerCase()];
    if (!act || document.querySelector(`[data-do="${act}"]`).disabled) return;
    event.preventDefault();
    ACTS[act]();
  });
  find("note").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "Escape") find("note").blur(); });
  show();
})();
