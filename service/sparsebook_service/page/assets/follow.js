// One job: its events while it runs, then its report.
"use strict";

const shownJob = document.getElementById("job");
const jobId = shownJob.dataset.job;
const partPath = `/page/parts/jobs/${encodeURIComponent(jobId)}`;
let following = null;

async function showJob() {
  following?.abort();
  const found = await part(partPath);
  shownJob.replaceChildren(...found);
  shownJob.setAttribute("aria-busy", "false");
  noComplaint();
  const model = shownJob.querySelector(".job").dataset.model;
  const state = document.getElementById("job-state").textContent;
  document.title = `${model}: ${state} – Sparsebook`;
  passed.clear();
  keepTime();
  makeAllSortable(shownJob);
  for (const button of shownJob.querySelectorAll("[data-do]")) button.addEventListener("click", () => act(button));
  for (const link of shownJob.querySelectorAll("[data-download]")) link.addEventListener("click", (event) => download(event, link));
  const trial = document.getElementById("trial");
  if (trial) wireTrial(trial);
  if (shownJob.querySelector("[data-live]")) {
    following = new AbortController();
    follow(following.signal).catch((error) => complain(said(error)));
  }
}

// The same inputs through both. The original that this browser has sent is there as an upload until that expires.
function wireTrial(form) {
  const [model, data, note, found] = ["model", "data", "said", "found"].map((id) => document.getElementById(`trial-${id}`));
  const kept = `sparsebook-original ${jobId}`;
  const original = document.getElementById("trial-original");
  original.hidden = Boolean(localStorage.getItem(kept));
  const button = form.querySelector("button");
  const going = new AbortController();
  async function run() {
    noComplaint();
    const send = (file) => upload(file, (bytes) => { note.textContent = `sending ${file.name}, ${inUnits(bytes)}`; }, going.signal);
    let id = localStorage.getItem(kept);
    if (model.files[0]) id = await send(model.files[0]);
    if (!id) return complain("Choose the original first: the file that was sent for this job.");
    const query = new URLSearchParams({ model: id });
    if (data.files[0]) query.set("data", await send(data.files[0]));
    note.textContent = "running both, which takes up to three minutes…";
    found.replaceChildren(...await part(`${partPath}/trial?${query}`, { method: "POST" }));
    localStorage.setItem(kept, id);
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    button.disabled = true;
    run().catch((error) => {
      if (error instanceof Refused && error.slug === "unknown-upload") {
        localStorage.removeItem(kept);
        original.hidden = false;
      }
      complain(said(error));
    }).finally(() => { [button.disabled, note.textContent] = [false, ""]; });
  });
}

async function act(button) {
  const path = `/jobs/${encodeURIComponent(jobId)}`;
  button.disabled = true;
  try {
    if (button.dataset.do === "cancel") await ask(`${path}/cancel`, { method: "POST" });
    else if (window.confirm("Delete this job, its artifact and its report?")) {
      await ask(path, { method: "DELETE" });
      localStorage.removeItem(`sparsebook-original ${jobId}`);
      window.location.assign("/");
      return;
    }
  } catch (error) {
    complain(said(error));
  }
  button.disabled = false;
}

// A link cannot carry a key: with one, the file is fetched and handed over.
async function download(event, link) {
  if (!sessionStorage.getItem(KEY)) return;
  event.preventDefault();
  try {
    const address = URL.createObjectURL(await (await ask(link.href)).blob());
    const handed = document.createElement("a");
    [handed.href, handed.download] = [address, link.dataset.download];
    handed.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    complain(said(error));
  }
}

// ------------------------------------------------------------------ events

const LONGEST_PAUSE = 5;
async function follow(signal) {
  const link = document.getElementById("link");
  let last = null;
  for (let attempt = 0; !signal.aborted; ) {
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const answer = await ask(`/jobs/${encodeURIComponent(jobId)}/events`, { headers, signal });
      [attempt, link.textContent] = [0, ""];
      if (answer.status === 204) return await showJob();
      for await (const event of events(answer.body)) {
        if (event.id) last = event.id;
        if (event.kind === "end" || event.kind === "deleted") return await showJob();
        tellOf(event.kind, JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
    }
    attempt += 1;
    link.textContent = "The connection to the service was lost. Trying again; the job goes on without this page.";
    await pause(Math.min(LONGEST_PAUSE, attempt));
  }
}
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const event = { kind: "message", data: "", id: null };
        for (const line of block.split("\n")) {
          const [, name, content] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
          if (name === "event") event.kind = content;
          if (name === "data") event.data += content;
          if (name === "id") event.id = content;
        }
        if (event.data) yield event;
      }
    }
  } finally {
    await reader.cancel();
  }
}

const CURVE_SECONDS = 1;
let curveComes = false;
async function redraw() {
  if (curveComes) return;
  curveComes = true;
  await pause(CURVE_SECONDS);
  curveComes = false;
  const place = document.getElementById("curve");
  if (place) place.replaceChildren(...await part(`${partPath}/curve`));
}
// Seconds that the job has run when its part was made, and the clock of this page since then.
let clock = 0;
function keepTime() {
  clearInterval(clock);
  const place = document.getElementById("elapsed");
  if (!place?.dataset.seconds) return;
  const [before, shown] = [Number(place.dataset.seconds), performance.now()];
  const tell = () => { place.textContent = `${inTime(before + (performance.now() - shown) / 1000)} so far`; };
  clock = setInterval(tell, 1000);
  tell();
}
function tellOf(kind, data) {
  if (kind === "started") {
    mark(null);
    const elapsed = document.getElementById("elapsed");
    if (!elapsed.dataset.seconds) {
      elapsed.dataset.seconds = 0;
      keepTime();
    }
  }
  if (kind === "stage") mark(data.stage);
  if (kind === "point") redraw().catch((error) => complain(said(error)));
  if (kind !== "progress") return;
  const state = document.getElementById("job-state");
  [state.textContent, state.className] = [data.state, `state ${data.state}`];
  document.getElementById("bar").value = data.progress;
  const far = `${Math.floor(100 * data.progress)}%`;
  document.getElementById("far").textContent = far;
  document.title = `${far} ${shownJob.querySelector(".job").dataset.model} – Sparsebook`;
  mark(data.stage);
  const training = data.training;
  const doing = document.getElementById("doing");
  const said = data.waiting ?? shownJob.querySelector(".stages [aria-current]")?.dataset.said;
  if (said && doing.textContent !== said) doing.textContent = said;
  const words = [data.weight];
  if (training) {
    words.push(`epoch ${training.epoch} of ${training.epochs}`);
    if (training.loss !== null) words.push(`loss ${training.loss.toPrecision(4)}`);
    if (training.metric !== null) words.push(`metric ${training.metric.toPrecision(4)}`);
    if (training.samples_per_second !== null) words.push(`${Math.round(training.samples_per_second)} samples/s`);
  }
  document.getElementById("now").textContent = words.filter(Boolean).join(", ");
}
const passed = new Set();
function mark(stage) {
  if (stage === null) passed.clear();
  else passed.add(stage);
  let past = stage !== null;
  for (const item of shownJob.querySelectorAll(".stages li")) {
    const now = item.dataset.stage === stage;
    if (now) past = false;
    item.classList.toggle("past", past && passed.has(item.dataset.stage));
    item.classList.toggle("skipped", past && !passed.has(item.dataset.stage));
    now ? item.setAttribute("aria-current", "step") : item.removeAttribute("aria-current");
  }
}

document.addEventListener("key", () => showJob().catch((error) => complain(said(error))));
showJob().catch((error) => {
  shownJob.setAttribute("aria-busy", "false");
  shownJob.replaceChildren();
  complain(said(error));
});
