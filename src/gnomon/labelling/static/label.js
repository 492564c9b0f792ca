/* Keys, drafts, focus time, and what happens when the network does not. The server renders everything else. */
"use strict";

const byId = (id) => document.getElementById(id);
const form = () => byId("answer");
const token = () => byId("turn").dataset.token;
const kept = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* private windows may refuse */ } },
  drop: (name) => { try { localStorage.removeItem(name); } catch { /* as above */ } },
};

/* Drafts: what was chosen and written survives a reload, until the server has it. */
const draftName = () => `gnomon-draft-${token()}`;

function saveDraft() {
  const fields = [...new FormData(form())].filter(([name]) => name !== "csrf" && name !== "key" && !name.endsWith("_ms"));
  kept.set(draftName(), JSON.stringify(fields));
}

function restoreDraft() {
  const saved = kept.get(draftName());
  if (!saved) return;
  const fields = JSON.parse(saved);
  for (const box of form().querySelectorAll("input[type=checkbox], input[type=radio]")) {
    box.checked = fields.some(([name, value]) => name === box.name && value === box.value);
  }
  const ranks = fields.filter(([name]) => name === "ranks");
  ranked().forEach((box, place) => { box.value = ranks[place]?.[1] ?? ""; });
  for (const box of form().querySelectorAll("textarea")) {
    box.value = fields.find(([name]) => name === box.name)?.[1] ?? "";
  }
}

/* Rankings: taps and keys put one answer after the other; what is sent are the selects, which work by themselves. */
const ranked = () => [...(form()?.querySelectorAll("select[name=ranks]") ?? [])];
const ranks = () => ranked().map((box) => Number(box.value));

function place(which) {
  const boxes = ranked(), before = ranks(), own = before[which], last = Math.max(...before);
  if (own) {
    boxes[which].value = "";
    const alone = before.filter((rank) => rank === own).length === 1;
    if (alone) boxes.forEach((box, k) => { if (before[k] > own) box.value = before[k] - 1; });
  } else {
    boxes[which].value = byId("level").checked && last ? last : last + 1;
    placed.push(which);
  }
  byId("level").checked = false;
  form().dispatchEvent(new Event("input"));
}

function takeBack() {
  while (placed.length) {
    const which = placed.pop();
    if (ranks()[which]) return place(which);
  }
  const now = ranks(), worst = now.lastIndexOf(Math.max(...now));  // a draft knows the ranks, not what came last
  if (now[worst]) place(worst);
}

function showOrder() {
  if (!byId("order")) return;
  const now = ranks(), steps = [];
  now.forEach((rank, k) => { if (rank) (steps[rank] ??= []).push("ABCDEFGHI"[k]); });
  byId("order").textContent = steps.filter(Boolean).map((step) => step.join(" = ")).join(" > ");
  for (const button of form().querySelectorAll(".place")) {
    const rank = now[button.dataset.place];
    button.firstChild.data = rank ? `Rank ${rank} ` : "Next best ";
    button.setAttribute("aria-pressed", Boolean(rank));
    button.closest(".reply").classList.toggle("placed", Boolean(rank));
  }
}

/* Time: all of it since the task was shown, and the part with the page in sight and in use. */
const IDLE_MS = 60000;
let shown = 0, active = 0, since = null, lastSign = 0;

function settleTime() {
  const now = performance.now();
  if (since !== null) active += Math.max(0, Math.min(now, lastSign + IDLE_MS) - since);
  since = document.hasFocus() && !document.hidden ? now : null;
}

function signOfLife() {
  settleTime();
  lastSign = performance.now();
}

function startTime() {
  shown = lastSign = performance.now();
  active = 0;
  since = null;
  settleTime();
}

/* Keys. */
const keysOn = () => kept.get("gnomon-keys") !== "off";

function pick(key) {
  const box = form()?.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!box) return false;
  if (box.type === "radio" && box.checked) form().requestSubmit();
  else box.click();
  return true;
}

function toggleRaw() {
  const raw = document.documentElement.classList.toggle("as-it-is");
  byId("raw").setAttribute("aria-pressed", raw);
}

const ACTIONS = {
  c: () => form()?.querySelector("textarea").focus(),
  x: () => byId("end")?.click(),
  z: () => byId("undo")?.click(),
  Backspace: takeBack,
  m: toggleRaw,
  g: () => byId("guidelines").click(),
  "?": () => byId("help").showModal(),
};

function onKey(event) {
  signOfLife();
  const writing = event.target.matches("textarea, input:not([type=radio], [type=checkbox]), select");
  if (event.key === "Escape" && writing) event.target.blur();
  if (event.key === "Enter" && form() && (event.ctrlKey || event.metaKey) && !event.repeat) form().requestSubmit();
  if (writing || event.ctrlKey || event.metaKey || event.altKey || byId("help").open || !keysOn()) return;
  if (event.key === "Enter" && !event.target.matches("button, a, summary")) {
    if (form()) { event.preventDefault(); if (!event.repeat) form().requestSubmit(); }
  } else if (!event.repeat && pick(event.key)) {
    event.preventDefault();
  } else if (!event.repeat && ACTIONS[event.key]) {
    event.preventDefault();
    ACTIONS[event.key]();
  }
}

/* A new task is there. `sent` names the draft of an answer on its way, `failed` is what can be tried again. */
let sent = null, placed = [], failed = null;

function begin() {
  const raw = document.documentElement.classList.contains("as-it-is");
  byId("raw").setAttribute("aria-pressed", raw);
  byId("raw").onclick = toggleRaw;
  byId("ask-help").onclick = () => byId("help").showModal();
  byId("notice").hidden = true;
  failed = null;
  if (!form()) return;
  restoreDraft();
  placed = [];
  form().addEventListener("input", () => { showOrder(); saveDraft(); });
  for (const button of form().querySelectorAll(".place")) {
    button.onclick = (event) => {
      place(Number(button.dataset.place));
      if (event.detail) byId("turn").focus({ preventScroll: true });  // a tap: Enter then sends
    };
  }
  if (byId("back")) byId("back").onclick = takeBack;
  showOrder();
  startTime();
}

function tell(message, element, gone = false) {
  sent = null;
  failed = gone || element.id === "writing" ? null : element;
  byId("notice").firstElementChild.textContent = message;
  byId("again").hidden = !failed;
  byId("onward").hidden = !gone;
  byId("notice").hidden = false;
}

function tryAgain() {
  if (failed?.matches("form")) failed.requestSubmit();
  else failed?.click();
}

function news() {
  const note = byId("news");
  if (!note) return;
  const name = `gnomon-guidelines-${note.dataset.project}`;
  note.hidden = kept.get(name) === note.dataset.version;
  note.querySelector("a").addEventListener("click", () => kept.set(name, note.dataset.version));
}

document.addEventListener("htmx:configRequest", (event) => {
  settleTime();
  if (event.detail.elt !== form()) return;
  sent = draftName();
  event.detail.parameters.active_ms = Math.round(active);
  event.detail.parameters.elapsed_ms = Math.round(performance.now() - shown);
});
document.addEventListener("htmx:afterSwap", () => {
  if (sent) kept.drop(sent);
  sent = null;
  begin();
  const latest = byId("end") && [...document.querySelectorAll(".prompt .message")].at(-1);
  (form()?.elements.message ?? byId("turn")).focus({ preventScroll: true });
  if (latest) latest.scrollIntoView();
  else scrollTo({ top: 0 });
});
document.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  const known = responseText && responseText.length < 500 && status !== 500;
  tell(known ? `Not kept: ${responseText}.` : "Not kept: the server stumbled.", event.detail.elt, status === 409);
});
for (const kind of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(kind, ({ detail: { elt } }) => {
    if (elt === form()) tell("Not kept yet: the server cannot be reached. Your draft is safe here.", elt);
    else if (elt.id !== "writing") tell("Not done yet: the server cannot be reached.", elt);
    else if (!failed) tell("The server cannot be reached. This page goes on by itself when it can.", elt);
  });
}
document.addEventListener("keydown", onKey);
document.addEventListener("pointerdown", signOfLife);
document.addEventListener("visibilitychange", settleTime);
addEventListener("focus", settleTime);
addEventListener("blur", settleTime);
addEventListener("online", () => { if (failed && failed === form()) tryAgain(); });
byId("again").onclick = tryAgain;
byId("onward").onclick = () => location.reload();
byId("keys-on").checked = keysOn();
byId("keys-on").onchange = (event) => kept.set("gnomon-keys", event.target.checked ? "on" : "off");
news();
begin();
