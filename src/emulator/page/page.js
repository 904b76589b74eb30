// Keeps the page as the server has it, and presses the server's own buttons.
"use strict";

const byId = (id) => document.getElementById(id);

// Times come as UTC; the reader has a zone.
function localise(root) {
  for (const time of root.querySelectorAll("time[data-unix]")) {
    const at = new Date(Number(time.dataset.unix) * 1000);
    time.dateTime = at.toISOString();
    time.title = at.toLocaleString();
    time.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  }
}

// Makes `old` look like `fresh` without touching what the reader is at: a video that plays, a field with
// the cursor in it, a fold that is open.
function become(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  if (old.tagName === "VIDEO" || old === document.activeElement) return;
  becomeInside(old, fresh);
  if ("value" in fresh && old.value !== fresh.value) old.value = fresh.value;
}

function becomeInside(old, fresh) {
  const kept = new Set([...fresh.children].map((child) => child.id));
  let at = old.firstChild;
  const drop = () => {
    const next = at.nextSibling;
    at.remove();
    at = next;
  };
  for (const child of [...fresh.childNodes]) {
    while (at && at.id && !kept.has(at.id)) drop();
    const same = at && at.nodeName === child.nodeName && (at.id || "") === (child.id || "");
    if (!same) {
      const known = child.id && [...old.children].find((one) => one.id === child.id);
      if (!known) {
        old.insertBefore(child, at);
        continue;
      }
      old.insertBefore(known, at);
      become(known, child);
      continue;
    }
    if (at.nodeType === Node.ELEMENT_NODE) become(at, child);
    else if (at.data !== child.data) at.data = child.data;
    at = at.nextSibling;
  }
  while (at) drop();
}

function show(id, html) {
  const place = byId(id);
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  localise(fresh.content);
  becomeInside(place, fresh.content);
}

function listen() {
  const live = byId("live");
  const say = (state, text) => {
    live.dataset.live = state;
    live.textContent = text;
  };
  say("off", "connecting");
  const source = new EventSource("/_emulator/events" + location.search);
  source.onopen = () => say("on", "live");
  source.onerror = () => say("off", "the server is gone; waiting for it");
  source.onmessage = (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) show(id, html);
  };
}

async function tell(method, page, body) {
  const refused = byId("refused");
  refused.hidden = true;
  let why = "";
  try {
    const answer = await fetch("/_emulator/" + page, { method, body });
    if (!answer.ok) why = (await answer.json()).error;
  } catch {
    why = "The server is gone.";
  }
  refused.textContent = why;
  refused.hidden = !why;
  return !why;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { post, id, set, value, advance, disarm, reset } = button.dataset;
  if (post) tell("POST", post, JSON.stringify({ publish_id: id }));
  if (set) tell("PUT", "settings", JSON.stringify({ [set]: value }));
  if (advance) tell("POST", "clock", JSON.stringify({ advance }));
  if (disarm !== undefined) tell("DELETE", "faults");
  if (reset !== undefined && confirm("Forget all uploads, tokens, faults and settings?")) tell("POST", "reset");
});

document.addEventListener("change", (event) => {
  const { set } = event.target.dataset;
  if (set) tell("PUT", "settings", JSON.stringify({ [set]: event.target.value }));
});

byId("arm").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("script");
  if (await tell("POST", "faults", JSON.stringify([field.value]))) field.value = "";
});

localise(document);
listen();
