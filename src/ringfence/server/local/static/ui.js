// The page's only script: sends answers, has them signed by a passkey, and follows what changes.
"use strict";

const token = document.querySelector("meta[name=ringfence-page]").content;
const said = document.getElementById("said");
const tell = (text) => { said.textContent = text; };

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-ringfence-page": token },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  let plain = {};
  try { plain = JSON.parse(text); } catch { plain = { problem: text.trim() }; }
  if (!answer.ok) throw new Error(plain.problem || `the page answered ${answer.status}`);
  return plain;
}

// The digest of the lines that stand on this page, not of what the server says they are.
async function seen() {
  const lines = [...document.querySelectorAll("#prompt .line")].map((line) => line.textContent);
  const bytes = new TextEncoder().encode(JSON.stringify(lines));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return "sha256:" + [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
const base64url = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function asserted(options) {
  const made = await navigator.credentials.get({
    publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) },
  });
  return {
    id: made.id, rawId: base64url(made.rawId), type: made.type, clientExtensionResults: {},
    response: {
      authenticatorData: base64url(made.response.authenticatorData),
      clientDataJSON: base64url(made.response.clientDataJSON),
      signature: base64url(made.response.signature),
    },
  };
}

async function created(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: named(options.excludeCredentials),
    },
  });
  return {
    id: made.id, rawId: base64url(made.rawId), type: made.type, clientExtensionResults: {},
    response: {
      attestationObject: base64url(made.response.attestationObject),
      clientDataJSON: base64url(made.response.clientDataJSON),
    },
  };
}

async function answer(choice) {
  const request = document.getElementById("prompt").dataset.request;
  const body = { seen: await seen(), reason: document.getElementById("reason").value };
  if (choice === "deny") return (await post(`/requests/${request}/deny`, body)).text;
  const begun = await post(`/requests/${request}/begin`, { ...body, scope: choice });
  const assertion = await asserted(begun.options);
  return (await post(`/requests/${request}/approve`, { ceremony: begun.ceremony, assertion })).text;
}

async function add() {
  const begun = await post("/passkeys/begin", {});
  const assertion = begun.prove ? await asserted(begun.prove) : null;
  const credential = await created(begun.options);
  return (await post("/passkeys/add", { ceremony: begun.ceremony, credential, assertion })).text;
}

async function busy(work) {
  const buttons = [...document.querySelectorAll("button")];
  for (const one of buttons) one.disabled = true;
  tell("");
  try {
    tell(await work());
    await refresh().catch(() => location.reload());
  } catch (problem) {
    tell(`Not done: ${problem.message}`);
  } finally {
    for (const one of buttons) one.disabled = false;
  }
}

for (const one of document.querySelectorAll("button[data-answer]")) {
  one.addEventListener("click", () => busy(() => answer(one.dataset.answer)));
}
document.getElementById("add")?.addEventListener("click", () => busy(add));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  const button = document.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
  if (button) { button.focus(); event.preventDefault(); return; }
  const links = [...document.querySelectorAll(".requests a")];
  const step = { j: 1, k: -1 }[event.key];
  if (!step || !links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + step))].focus();
  event.preventDefault();
});

// What changed is loaded again; what somebody is typing, and where the focus is, stays.
async function refresh() {
  const loaded = await fetch(location.pathname);
  if (!loaded.ok) throw new Error("this page is out of date; load it again");
  const fresh = new DOMParser().parseFromString(await loaded.text(), "text/html");
  const focused = document.activeElement?.getAttribute("href");
  const live = document.getElementById("live");
  const next = fresh.getElementById("live");
  if (live && next) live.replaceWith(next);
  if (!fresh.getElementById("answers")) document.getElementById("answers")?.remove();
  if (focused) document.querySelector(`.requests a[href="${CSS.escape(focused)}"]`)?.focus();
}

const lost = document.getElementById("lost");
const events = new EventSource("/events");
let version = null;
events.addEventListener("message", (event) => {
  lost.hidden = true;
  if (version !== null && version !== event.data) refresh().catch((problem) => tell(problem.message));
  version = event.data;
});
events.addEventListener("error", () => { lost.hidden = false; });
