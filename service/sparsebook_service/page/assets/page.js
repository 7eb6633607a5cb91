// What both pages need: the API key, asking the service, and saying what goes wrong. Nothing is swallowed.
"use strict";

const complaints = document.getElementById("complaints");
// `about` is what the complaint comes from, where that may be well again by itself.
function complain(text, about = "") {
  const box = document.createElement("p");
  box.className = "complaint";
  box.dataset.about = about;
  const words = document.createElement("span");
  words.textContent = text;
  box.append(words);
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => noComplaint());
  box.append(close);
  complaints.replaceChildren(box);
}
function noComplaint(about = null) {
  if (about === null || complaints.firstChild?.dataset.about === about) complaints.replaceChildren();
}
window.addEventListener("error", (event) => complain(`This page has a fault: ${event.message}`));
window.addEventListener("unhandledrejection", (event) => complain(said(event.reason)));

class Refused extends Error {
  constructor(status, slug, detail) {
    super(detail);
    this.status = status;
    this.slug = slug;
  }
}
function said(error) {
  if (error instanceof Refused && error.status === 401) {
    return sessionStorage.getItem(KEY) ? `${error.message}. Enter a key above.` : "This service asks for an API key. Enter a key above.";
  }
  if (error instanceof Refused) return error.message;
  if (error instanceof TypeError) return `The service cannot be reached (${error.message}).`;
  return `This page has a fault: ${error?.message ?? error}`;
}

// The key lives as long as the tab. It goes into a header of each request, never into an address or a cookie.
const KEY = "sparsebook-key";
function withKey(headers = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}
async function refusal(answer) {
  const text = await answer.text();
  try {
    const problem = JSON.parse(text);
    return new Refused(answer.status, String(problem.type).split("/").pop(), problem.detail ?? problem.title);
  } catch (error) {
    return new Refused(answer.status, "unknown", `The service answered ${answer.status}, in no words that this page knows.`);
  }
}
function sayOfKey(words) {
  const note = document.getElementById("key-said");
  const now = sessionStorage.getItem(KEY) ? words : "none yet";
  if (note && note.textContent !== now) note.textContent = now;
}
async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: withKey(options.headers), cache: "no-store" });
  if (answer.status === 401) sayOfKey("refused");
  else sayOfKey("in use");
  if (!answer.ok) throw await refusal(answer);
  return answer;
}
async function part(path, options = {}) {
  const parsed = new DOMParser().parseFromString(await (await ask(path, options)).text(), "text/html");
  return [...parsed.body.childNodes];
}
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function inUnits(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) { bytes /= 1000; at += 1; }
  return `${at === 0 || bytes >= 99.95 ? bytes.toFixed(0) : bytes.toPrecision(3)} ${units[at]}`;
}

function inTime(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const keyForm = document.getElementById("key-form");
if (keyForm) {
  const field = document.getElementById("key");
  sayOfKey("kept in this tab");
  keyForm.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) sessionStorage.setItem(KEY, field.value.trim());
    else sessionStorage.removeItem(KEY);
    field.value = "";
    sayOfKey("trying it");
    noComplaint();
    document.dispatchEvent(new Event("key"));
  });
}
