const $ = (id) => document.getElementById(id);
const text = $("text");
const XSD = "http://www.w3.org/2001/XMLSchema#";
const NUMBERS = /^(integer|decimal|double|float|long|int|short|byte|(non(Negative|Positive)|negative|positive)Integer|unsigned(Long|Int|Short|Byte))$/;
const KEYWORDS = new Set((
  "ABS ADD ALL AS ASC ASK AVG BASE BIND BNODE BOUND BY CEIL CLEAR COALESCE CONCAT CONSTRUCT CONTAINS COPY COUNT CREATE DATA " +
  "DATATYPE DAY DEFAULT DELETE DESC DESCRIBE DISTINCT DROP ENCODE_FOR_URI EXISTS FALSE FILTER FLOOR FROM GRAPH GROUP " +
  "GROUP_CONCAT HAVING HOURS IF IN INSERT INTO IRI ISBLANK ISIRI ISLITERAL ISNUMERIC ISURI LANG LANGMATCHES LCASE LIMIT LOAD " +
  "MAX MD5 MIN MINUS MINUTES MONTH MOVE NAMED NOT NOW OFFSET OPTIONAL ORDER PREFIX RAND REDUCED REGEX REPLACE ROUND SAMETERM " +
  "SAMPLE SECONDS SELECT SEPARATOR SERVICE SHA1 SHA256 SHA384 SHA512 SILENT STR STRAFTER STRBEFORE STRDT STRENDS STRLANG STRLEN " +
  "STRSTARTS STRUUID SUBSTR SUM TIMEZONE TO TRUE TZ UCASE UNDEF UNION URI USING UUID VALUES WHERE WITH YEAR").split(" "));
const UPDATES = /^(INSERT|DELETE|LOAD|CLEAR|CREATE|DROP|COPY|MOVE|ADD|WITH)$/i;
const TOKEN = new RegExp([
  /(?<comment>#.*)/, /(?<iri><[^<>"{}|^`\\\s]*>)/,
  /(?<string>"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?)/,
  /(?<variable>[?$][\p{L}\p{N}_]+)/, /(?<name>[\p{L}\p{N}_.-]*:[\p{L}\p{N}_.:%\\-]*)/,
  /(?<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/, /(?<word>@?[\p{L}_][\p{L}\p{N}_-]*)/, /(?<space>\s+)/, /(?<other>[^])/,
].map((part) => part.source).join("|"), "gu");

function tokens() {
  return [...text.value.matchAll(TOKEN)].map(({ 0: value, index, groups }) => {
    let kind = Object.keys(groups).find((name) => groups[name] !== undefined);
    if (kind === "word" && KEYWORDS.has(value.toUpperCase())) kind = "keyword";
    return { value, kind, start: index, end: index + value.length };
  });
}

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// The editor: a transparent text area over its highlighted text.

let fault = null; // The offset of the error that the server reported.

function shade() {
  const list = tokens();
  const mark = list.find((token) => fault !== null && token.end > fault && token.kind !== "space") ?? list.at(-1);
  const spans = list.map((token) => make("span", {
    className: token.kind + (fault !== null && token === mark ? " fault" : ""),
    textContent: token.value,
  }));
  $("shade").replaceChildren(...spans, "\n");
}

function put(start, end, value) {
  text.setSelectionRange(start, end);
  // Unlike setRangeText, this can be undone.
  document.execCommand("insertText", false, value);
}

let stored = new Map(); // Prefixes that the server knows.

function declared() {
  return new Map([...text.value.matchAll(/\bprefix\s+([\w.-]*:)\s*<([^>]*)>/gi)].map((match) => [match[1], match[2]]));
}

/** Declares the prefix before the caret, if it is known and not declared yet. */
function declare() {
  const caret = text.selectionStart;
  const token = tokens().find((token) => token.end === caret && token.kind === "name");
  const before = tokens().filter((other) => other.end <= (token?.start ?? 0) && other.kind !== "space").at(-1);
  if (!token || /^(prefix|@prefix)$/i.test(before?.value ?? "") || declared().has(token.value) || !stored.get(token.value)) return;
  const line = `PREFIX ${token.value} <${stored.get(token.value)}>\n`;
  put(0, 0, line);
  text.setSelectionRange(caret + line.length, caret + line.length);
}

// Completion.

let offers = [];
let chosen = 0;

function complete(asked) {
  const list = tokens();
  const at = list.findIndex((token) => token.end === text.selectionStart && /^(word|keyword|name|variable)$/.test(token.kind));
  const word = list[at]?.value ?? "";
  close();
  if (!asked && word.replace(/\W/g, "").length < 2) return;
  const inside = list.find((token) => token.start < text.selectionStart && token.end >= text.selectionStart);
  if (/^(comment|string|iri)$/.test(inside?.kind ?? "")) return;
  const variables = list.filter((token, index) => token.kind === "variable" && index !== at).map((token) => token.value);
  const names = list.filter((token, index) => token.kind === "name" && index !== at).map((token) => token.value);
  const known = new Set([...declared().keys(), ...stored.keys(), ...variables, ...names, ...KEYWORDS]);
  offers = [...known].filter((name) => name !== word && name.toLowerCase().startsWith(word.toLowerCase())).slice(0, 8);
  if (!offers.length || (list[at]?.kind === "keyword" && !asked)) return close();
  const place = $("shade").children[at] ?? $("shade").lastElementChild;
  $("words").replaceChildren(...offers.map((offer) => make("li", { role: "option", textContent: `${offer} ${stored.get(offer) ?? ""}` })));
  $("words").style.left = `${Math.min(place?.offsetLeft ?? 0, text.clientWidth / 2)}px`;
  $("words").style.top = `${(place?.offsetTop ?? 0) + (place?.offsetHeight ?? 0)}px`;
  $("words").hidden = false;
  choose(0);
}

function choose(index) {
  chosen = (index + offers.length) % offers.length;
  [...$("words").children].forEach((item, at) => item.setAttribute("aria-selected", at === chosen));
}

function accept() {
  const token = tokens().find((token) => token.end === text.selectionStart && token.kind !== "space" && token.kind !== "other");
  const offer = offers[chosen];
  put(token?.start ?? text.selectionStart, text.selectionStart, offer);
  declare();
  close();
}

function close() {
  offers = [];
  $("words").hidden = true;
}

// Requests.

let running = null; // Aborts the request.
let answer = null; // The response: { variables, rows }, { graph } or { plan }, and the body as it was received.

function isUpdate() {
  let prologue = false;
  const first = tokens().find((token) => {
    if (/^(comment|space)$/.test(token.kind)) return false;
    if (/^(prefix|base)$/i.test(token.value)) return !(prologue = true);
    if (prologue && token.kind === "name") return false;
    if (prologue && token.kind === "iri") return (prologue = false);
    return true;
  });
  return UPDATES.test(first?.value ?? "");
}

async function send(explain) {
  const update = isUpdate() && !explain;
  const headers = {
    "Content-Type": `application/sparql-${update ? "update" : "query"}`,
    Accept: "application/sparql-results+json, text/turtle;q=0.9",
  };
  const token = sessionStorage.getItem("token");
  if (update && token) headers.Authorization = `Bearer ${token}`;
  const target = update ? "update" : explain ? "query?explain" : "query";
  const response = await fetch(target, { method: "POST", headers, body: text.value, signal: running.signal });
  const body = await response.text();
  if (response.status === 401 && await askToken()) return send(explain);
  return { response, body, update };
}

async function run(explain = false) {
  if (running) return running.abort();
  close();
  remember(text.value);
  running = new AbortController();
  $("run").textContent = "Stop";
  fault = null;
  show(null);
  say("…");
  if (!isUpdate()) history.replaceState(null, "", `#query=${encodeURIComponent(text.value)}`);
  const started = performance.now();
  try {
    const { response, body, update } = await send(explain);
    const time = `${Math.round(performance.now() - started)} ms`;
    if (!response.ok) return failed(body.trim() || `${response.status} ${response.statusText}`);
    if (update) return say(`done in ${time}`);
    if (explain) return show({ plan: JSON.parse(body) }), say(`explained in ${time}`);
    if (!/json/.test(response.headers.get("Content-Type"))) return show({ graph: body, body }), say(`a graph in ${time}`);
    const { head, results, boolean } = JSON.parse(body);
    if (boolean !== undefined) return show({ variables: ["answer"], rows: [{ answer: { type: "literal", value: `${boolean}`, datatype: `${XSD}boolean` } }], body }), say(`${boolean}, in ${time}`);
    show({ variables: head.vars, rows: results.bindings, body });
    say(`${results.bindings.length.toLocaleString("en")} ${results.bindings.length === 1 ? "row" : "rows"} in ${time}`);
  } catch (error) {
    say(error.name === "AbortError" ? "stopped" : `no complete answer from the server: ${error.message}`, true);
  } finally {
    running = null;
    $("run").textContent = "Run";
  }
}

function say(message, bad = false) {
  $("message").textContent = message;
  $("message").className = bad ? "bad" : "";
}

function failed(message) {
  say(message, true);
  const place = /at (\d+):(\d+)$/.exec(message);
  if (place) {
    const lines = text.value.split("\n");
    const before = lines.slice(0, place[1] - 1).reduce((sum, line) => sum + line.length + 1, 0);
    fault = before + [...(lines[place[1] - 1] ?? "")].slice(0, place[2] - 1).join("").length;
    text.focus();
    text.setSelectionRange(fault, fault);
  }
  shade();
}

async function askToken() {
  $("token").value = sessionStorage.getItem("token") ?? "";
  $("asks").returnValue = "";
  $("asks").showModal();
  await new Promise((resolve) => $("asks").addEventListener("close", resolve, { once: true }));
  if ($("asks").returnValue !== "use") return false;
  sessionStorage.setItem("token", $("token").value.trim());
  return true;
}

// Results.

const isNumber = (term) => term?.datatype?.startsWith(XSD) && NUMBERS.test(term.datatype.slice(XSD.length));

function shorten(iri) {
  const own = [...declared(), ...stored].filter(([, base]) => base && iri.startsWith(base) && /^[\w-]*$/.test(iri.slice(base.length)));
  const [prefix, base] = own.reduce((best, one) => (one[1].length > best[1].length ? one : best), ["", ""]);
  return base ? prefix + iri.slice(base.length) : `<${iri}>`;
}

function written(term) {
  switch (term?.type) {
    case undefined: return "";
    case "uri": return shorten(term.value);
    case "bnode": return `_:${term.value}`;
    case "triple": return `<<( ${["subject", "predicate", "object"].map((part) => written(term.value[part])).join(" ")} )>>`;
    default: return term.value;
  }
}

function cell(term) {
  if (term?.type === "uri") {
    // The link queries this store. It never leads to the IRI itself.
    const href = `#query=${encodeURIComponent(`DESCRIBE <${term.value}>`)}`;
    return make("td", {}, make("a", { href, title: term.value, textContent: shorten(term.value) }));
  }
  if (isNumber(term)) return make("td", { className: "number", title: term.datatype, textContent: term.value });
  const more = term?.["xml:lang"] ? `@${term["xml:lang"]}` : term?.datatype && term.datatype !== `${XSD}string` ? `^^${shorten(term.datatype)}` : "";
  return make("td", {}, written(term), make("span", { className: "datatype", textContent: more && ` ${more}` }));
}

const SHOWN = 1000; // The rows that are shown at first. A browser takes seconds to show 100,000.
let shown = SHOWN;

function show(result) {
  answer = result;
  shown = SHOWN;
  draw();
}

function draw() {
  shade();
  const { variables, rows, graph, plan } = answer ?? {};
  $("saves").hidden = !rows && !graph;
  $("csv").hidden = $("json").hidden = !rows;
  $("turtle").hidden = !graph;
  $("more").hidden = !(rows?.length > shown);
  if (rows) $("results").replaceChildren(table(variables, rows));
  else if (plan) $("results").replaceChildren(explained(plan));
  else $("results").replaceChildren(...(graph ? [make("pre", { textContent: graph })] : []));
}

function table(variables, rows) {
  const head = make("tr", {}, ...variables.map((name) => {
    const sorted = answer.sorted === name ? (answer.down ? "descending" : "ascending") : "none";
    const column = make("th", { scope: "col" }, make("button", { textContent: name, onclick: () => sort(name) }));
    column.setAttribute("aria-sort", sorted);
    return column;
  }));
  const body = rows.slice(0, shown).map((row) => make("tr", {}, ...variables.map((name) => cell(row[name]))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function sort(name) {
  answer.down = answer.sorted === name && !answer.down;
  answer.sorted = name;
  const { compare } = new Intl.Collator("en", { numeric: false });
  const rank = (term) => (!term ? 0 : isNumber(term) ? 1 : 2);
  const order = (a, b) => rank(a) - rank(b) || (isNumber(a) ? Number(a.value.replace("INF", "Infinity")) - Number(b.value.replace("INF", "Infinity")) : compare(written(a), written(b)));
  answer.rows = answer.rows.toSorted((a, b) => (answer.down ? -1 : 1) * order(a[name], b[name]));
  draw();
  [...document.querySelectorAll("th button")].find((button) => button.textContent === name)?.focus();
}

/** The plan as a table: a row for each node, indented by its depth, and a column for each of its properties. */
function explained(plan) {
  const rows = [];
  const walk = ({ name, children = [], ...told }, depth) => {
    rows.push([`${"  ".repeat(depth)}${name}`, told]);
    children.forEach((child) => walk(child, depth + 1));
  };
  walk(plan.plan, 0);
  const columns = [...new Set(rows.flatMap(([, told]) => Object.keys(told)))];
  const line = ([name, told]) => make("tr", {}, make("td", { className: "plan", textContent: name }),
    ...columns.map((column) => make("td", { className: "number", textContent: told[column] ?? "" })));
  const head = make("tr", {}, ...["plan", ...columns].map((column) => make("th", { scope: "col", textContent: column })));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map(line)));
}

function save(name, type, content) {
  const href = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href));
}

function csv() {
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const plain = (term) => (term?.type === "uri" ? term.value : written(term));
  const lines = [answer.variables, ...answer.rows.map((row) => answer.variables.map((name) => plain(row[name])))];
  return lines.map((line) => `${line.map(quote).join(",")}\r\n`).join("");
}

// The history: the texts that were run last, the newest first.

let past = JSON.parse(localStorage.getItem("history") ?? "[]");
let walked = -1;

function remember(value) {
  past = [value, ...past.filter((other) => other !== value)].filter((value) => value.trim()).slice(0, 50);
  walked = 0;
  localStorage.setItem("history", JSON.stringify(past));
}

function load(value) {
  text.focus();
  put(0, text.value.length, value);
}

function walk(step) {
  walked = Math.max(0, Math.min(past.length - 1, walked + step));
  if (past.length) load(past[walked]);
}

function choosePast() {
  $("list").replaceChildren(...past.map((value) => make("li", {}, make("button", { textContent: value, value }))));
  $("pasts").returnValue = "";
  $("pasts").showModal();
}

// Events.

text.addEventListener("input", (event) => {
  fault = null;
  if (event.data === ":") declare();
  shade();
  complete(false);
});
text.addEventListener("blur", () => setTimeout(close, 200));
text.addEventListener("keydown", (event) => {
  const open = offers.length > 0;
  const does = {
    Escape: open ? close : () => running?.abort(),
    Tab: open && !event.shiftKey && accept,
    Enter: (event.ctrlKey || event.metaKey) && (() => run(event.shiftKey)),
    " ": event.ctrlKey && (() => complete(true)),
    ArrowDown: event.altKey ? () => walk(-1) : open && (() => choose(chosen + 1)),
    ArrowUp: event.altKey ? () => walk(1) : open && (() => choose(chosen - 1)),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});
$("words").addEventListener("mousedown", (event) => {
  event.preventDefault();
  choose([...$("words").children].indexOf(event.target.closest("li")));
  accept();
});
$("run").addEventListener("click", () => run());
$("explain").addEventListener("click", () => run(true));
$("past").addEventListener("click", choosePast);
$("key").addEventListener("click", askToken);
$("pasts").addEventListener("close", () => past.includes($("pasts").returnValue) && load($("pasts").returnValue));
$("forget").addEventListener("click", () => localStorage.setItem("history", JSON.stringify((past = []))));
$("csv").addEventListener("click", () => save("results.csv", "text/csv", csv()));
$("json").addEventListener("click", () => save("results.json", "application/sparql-results+json", answer.body));
$("turtle").addEventListener("click", () => save("results.ttl", "text/turtle", answer.graph));
$("more").addEventListener("click", () => ((shown += SHOWN), draw()));

/** Shows the query of a link, and runs it unless it is an update. */
function follow() {
  const query = new URLSearchParams(location.hash.slice(1)).get("query");
  if (query === null || query === text.value) return false;
  load(query);
  if (!isUpdate()) run();
  return true;
}

addEventListener("hashchange", follow);
if (!follow()) load(past[0] ?? "SELECT * WHERE {\n  ?s ?p ?o\n} LIMIT 100");
close();
const known = await fetch("prefixes").then((response) => response.text()).catch(() => "");
stored = new Map([...known.matchAll(/^PREFIX ([^ ]*:) <(.*)>$/gm)].map((match) => [match[1], match[2]]));
draw();
document.body.dataset.ready = "";
