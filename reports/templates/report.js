"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  const words = JSON.parse($("words").textContent);
  root.classList.add("js");

  // Everything that a target may have sent reaches the page through here: as text nodes, never as markup.
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    node.append(...children.filter((child) => child !== null).map((child) => (typeof child === "string" ? shown(child) : child)));
    return node;
  }
  // What steers a terminal or turns the direction of a text is shown as its escape; what is copied is as it was sent.
  function shown(text) {
    const steering = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
    return text.replace(steering, (found) => "\\u" + found.charCodeAt(0).toString(16).padStart(4, "0"));
  }
  function say(key) {
    return el("span", {}, el("span", { lang: "zh" }, words[key].zh), el("span", { lang: "en" }, words[key].en));
  }

  // --- language
  function setLanguage(lang) {
    root.dataset.lang = lang;
    root.lang = lang === "zh" ? "zh-CN" : "en";
    for (const button of all(".lang")) button.setAttribute("aria-pressed", String(button.dataset.set === lang));
    for (const node of all("[data-label-zh]")) {
      const text = lang === "zh" ? node.dataset.labelZh : node.dataset.labelEn;
      node.setAttribute("aria-label", text);
      node.setAttribute(node.tagName === "INPUT" ? "placeholder" : "title", text);
    }
    for (const option of all("option")) option.textContent = lang === "zh" ? option.dataset.zh : option.dataset.en;
  }
  const asked = new URLSearchParams(location.search).get("lang") || root.dataset.default;
  const browser = (navigator.language || "").startsWith("zh") ? "zh" : "en";
  setLanguage(["zh", "en"].includes(asked) ? asked : browser);
  for (const button of all(".lang")) button.addEventListener("click", () => setLanguage(button.dataset.set));
  $("print").addEventListener("click", () => window.print());

  // --- tabs
  const tabs = all("[role=tab]");
  function setTab(name) {
    for (const tab of tabs) {
      const mine = tab.getAttribute("aria-controls") === name;
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
      $(tab.getAttribute("aria-controls")).hidden = !mine;
    }
  }
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => {
      setTab(tab.getAttribute("aria-controls"));
      history.replaceState(null, "", "#" + tab.getAttribute("aria-controls"));
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  });
  function followHash() {
    const name = decodeURIComponent(location.hash.slice(1));
    const clause = name.startsWith("clause-") ? $(name) : null;
    const tab = tabs.find((one) => one.getAttribute("aria-controls") === name);
    setTab(clause ? "technical" : tab ? name : "executive");
    if (!clause) return;
    clause.hidden = false;
    clause.open = true;
    clause.scrollIntoView({ block: "start" });
    clause.querySelector("summary").focus({ preventScroll: true });
  }
  window.addEventListener("hashchange", followHash);

  // --- filters
  const clauses = all(".clause");
  const texts = new Map(clauses.map((clause) => [clause, clause.textContent.toLowerCase()]));
  function filter() {
    const query = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = { verdict: $("f-verdict").value, level: $("f-level").value, chapter: $("f-chapter").value };
    let shown = 0;
    for (const clause of clauses) {
      const text = texts.get(clause);
      const fits = Object.entries(wanted).every(([key, value]) => !value || clause.dataset[key] === value);
      clause.hidden = !(fits && query.every((word) => text.includes(word)));
      shown += clause.hidden ? 0 : 1;
    }
    $("shown").querySelector("b").textContent = shown;
  }
  function sort() {
    const key = { verdict: "rank", time: "time" }[$("f-sort").value];
    const rows = key ? [...clauses].sort((a, b) => b.dataset[key] - a.dataset[key]) : clauses;
    $("clauses").append(...rows);
  }
  $("filters").addEventListener("input", filter);
  $("f-sort").addEventListener("change", sort);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(() => { filter(); sort(); }));
  $("expand").addEventListener("click", () => { for (const clause of clauses) if (!clause.hidden) clause.open = true; });
  $("collapse").addEventListener("click", () => { for (const clause of clauses) clause.open = false; });

  // --- exchanges: read from the page when first asked for
  let store = null;
  function exchanges() {
    if (store) return store;
    const { target, rows } = JSON.parse($("exchanges").textContent);
    store = { target, byId: new Map(rows.map((row) => [row.id, row])), byScenario: new Map() };
    for (const row of rows) {
      if (!store.byScenario.has(row.scenario)) store.byScenario.set(row.scenario, []);
      store.byScenario.get(row.scenario).push(row);
    }
    return store;
  }
  const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
  function address(request) {
    const pairs = request.query.map(([name, value]) => encode(name) + "=" + encode(value));
    return request.path + (pairs.length ? "?" + pairs.join("&") : "");
  }
  const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  function curl(row) {
    const { request } = row;
    const parts = ["curl --globoff --include --request " + quote(request.method)];
    for (const [name, value] of Object.entries(request.headers)) {
      if (!["content-length", "host", "connection"].includes(name)) parts.push("--header " + quote(name + ": " + value));
    }
    let before = "";
    if (typeof request.body !== "string") {
      before = "printf %s " + quote(request.body.base64) + " | base64 -d | ";
      parts.push("--data-binary @-");
    } else if (request.body) parts.push("--data-raw " + quote(request.body));
    parts.push("--url " + quote(exchanges().target.replace(/\/$/, "") + address(request)));
    return before + parts.join(" \\\n  ");
  }
  function copy(key, text) {
    const button = el("button", { type: "button" }, say(key));
    button.addEventListener("click", async () => {
      const area = el("textarea", { class: "sr" });
      area.value = text;
      button.after(area);
      try { await navigator.clipboard.writeText(text); } catch { area.select(); document.execCommand("copy"); }
      area.remove();
      button.replaceChildren(say("copied"));
      setTimeout(() => button.replaceChildren(say(key)), 1500);
    });
    return button;
  }
  function bodyOf(part) {
    if (part.body === "") return el("p", { class: "note" }, say("no_body"));
    const notes = el("p", { class: "note" });
    let text = part.body;
    if (typeof text !== "string") {
      notes.append(say("binary"));
      text = text.base64;
    } else {
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    }
    if (part.cut) notes.append(" ", say("cut"), " " + part.cut);
    return el("div", {}, el("pre", { tabindex: "0" }, text), notes);
  }
  function headersOf(part) {
    const lines = Object.entries(part.headers).map(([name, value]) => name + ": " + value);
    return el("details", {}, el("summary", {}, lines.length + " ", say("headers")), el("pre", {}, lines.join("\n")));
  }
  function sides(row) {
    const { request, answer } = row;
    const left = el("div", {}, el("h4", {}, say("request")), el("p", { class: "mono" }, request.method + " " + address(request)), headersOf(request), bodyOf(request));
    const right = answer
      ? el("div", {}, el("h4", {}, say("answer")), el("p", { class: "mono" }, "HTTP " + answer.status), headersOf(answer), bodyOf(answer))
      : el("div", {}, el("h4", {}, say("no_answer")), el("pre", {}, row.failure));
    return el("div", { class: "sides" }, left, right);
  }
  function flags(row) {
    const notes = [];
    if (row.negative) notes.push(el("p", { class: "flag" }, say("negative"), ": " + row.negative));
    if (row.problems.length) notes.push(el("p", { class: "flag" }, say("signing_problems"), ": " + row.problems.join("; ")));
    return notes;
  }
  function line(row) {
    const status = row.answer ? String(row.answer.status) : "—";
    return [
      el("span", { class: "mono" }, row.id), " · " + row.step + " · " + row.operation + " · ", say(row.direction),
      row.partner ? " (" + row.partner + ")" : null, " · ", el("span", { class: "status" }, status),
      " · " + row.elapsed_ms.toFixed(1) + " ms", row.negative ? el("span", { class: "neg" }, " · ", say("negative")) : null,
    ];
  }
  function fill(details) {
    if (details.dataset.filled) return;
    details.dataset.filled = "yes";
    const body = details.querySelector(":scope > .body");
    const row = exchanges().byId.get(details.dataset.exchange);
    if (!row) return body.append(el("p", { class: "flag" }, say("missing_exchange")));
    const buttons = el("div", { class: "copy" });
    if (row.direction === "to_target" && exchanges().target && !row.request.cut) buttons.append(copy("copy_curl", curl(row)));
    buttons.append(copy("copy_json", JSON.stringify(row, null, 2)), el("span", { class: "note" }, say("curl_note")));
    body.append(...flags(row), sides(row), buttons);
  }
  function headline(details) {
    const row = exchanges().byId.get(details.dataset.exchange);
    if (row) details.querySelector("summary").replaceChildren(...line(row).filter((part) => part !== null));
  }
  function list(details) {
    if (details.dataset.filled) return;
    details.dataset.filled = "yes";
    const rows = exchanges().byScenario.get(details.dataset.scenario) || [];
    const body = details.querySelector(":scope > .body");
    if (!rows.length) body.append(el("p", { class: "note" }, say("no_exchanges")));
    for (const row of rows) {
      const item = el("details", { class: "exchange", "data-exchange": row.id }, el("summary"), el("div", { class: "body" }));
      headline(item);
      body.append(item);
    }
  }
  function opened(details) {
    if (!details.open) return;
    if (details.matches(".exchange")) fill(details);
    if (details.matches(".scenario")) list(details);
    if (details.matches(".clause")) all(".finding .exchange", details).forEach(headline);
  }
  document.addEventListener("toggle", (event) => opened(event.target), true);

  // --- paper: what needs attention is opened down to its exchanges, the rest is one line a clause
  let openBefore = null;
  window.addEventListener("beforeprint", () => {
    openBefore = clauses.filter((clause) => clause.open);
    for (const clause of clauses) {
      clause.open = ["fail", "warn", "not_testable", "error"].includes(clause.dataset.verdict);
      if (!clause.open) continue;
      opened(clause);
      for (const exchange of all(".finding .exchange", clause)) {
        exchange.open = true;
        fill(exchange);
      }
    }
  });
  window.addEventListener("afterprint", () => {
    if (openBefore) for (const clause of clauses) clause.open = openBefore.includes(clause);
    openBefore = null;
  });

  filter();
  followHash();
})();
