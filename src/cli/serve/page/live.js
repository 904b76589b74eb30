// Keeps the page fresh, and sends its forms without leaving it.
"use strict";

const part = document.getElementById("part");
const live = document.getElementById("live");
const refused = document.getElementById("refused");

const words = (date) => {
  const today = date.toDateString() === new Date().toDateString();
  const hour = { hour: "2-digit", minute: "2-digit" };
  return date.toLocaleString([], today ? hour : { day: "numeric", month: "short", ...hour });
};

// Times come in the zone of the service.
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    time.title = date.toLocaleString();
    time.textContent = words(date);
  }
}

// Makes `old` the same as `fresh`, and leaves alone what is the same already: focus, selection and scroll positions stay.
function become(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  within(old, fresh);
}

function within(old, fresh) {
  const wanted = [...fresh.childNodes];
  const ids = new Set(wanted.map((node) => node.id).filter(Boolean));
  for (const node of [...old.childNodes]) {
    if (node.id && !ids.has(node.id)) node.remove();
  }
  wanted.forEach((node, at) => {
    let here = old.childNodes[at];
    if (node.id && here?.id !== node.id) {
      const known = [...old.children].find((child) => child.id === node.id);
      if (known) {
        old.insertBefore(known, here ?? null);
        here = known;
      }
    }
    const same = here && here.nodeName === node.nodeName && (here.id ?? "") === (node.id ?? "");
    if (same) become(here, node);
    else old.insertBefore(node, here ?? null);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

let asking = false;
async function refresh() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, cache: "no-store" });
    // The session has ended: the page says how to begin another one.
    if (answer.status === 401 || answer.status === 404) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    localise(fresh.content);
    within(part, fresh.content);
    document.title = part.querySelector("[data-title]")?.dataset.title ?? document.title;
    live.hidden = true;
  } catch {
    live.textContent = "The service does not answer. This page shows what was last known.";
    live.hidden = false;
  } finally {
    asking = false;
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!part.contains(form)) return;
  event.preventDefault();
  if (form.dataset.ask && !confirm(form.dataset.ask)) return;
  const button = event.submitter;
  button.disabled = true;
  refused.hidden = true;
  try {
    const answer = await fetch(form.action, { method: "POST", headers: { accept: "text/html" }, body: new URLSearchParams(new FormData(form)) });
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      refused.textContent = page.querySelector("main p")?.textContent ?? "The service refused this.";
      refused.hidden = false;
    }
  } catch {
    refused.textContent = "The service does not answer. Nothing may have been changed.";
    refused.hidden = false;
  }
  button.disabled = false;
  refresh();
});

localise(document);
setInterval(refresh, 1000);
document.addEventListener("visibilitychange", refresh);
