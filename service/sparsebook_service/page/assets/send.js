// Handing a model in: chosen files, the upload that goes on where it broke off, the job. And the list of jobs.
"use strict";

// ------------------------------------------------------------------ uploads, after the tus protocol 1.0.0

const TUS = { "Tus-Resumable": "1.0.0" };
const ATTEMPTS = 60;
function mayPass(error) {
  return !(error instanceof Refused) || [409, 423, 429, 502, 503, 504].includes(error.status);
}
function inBase64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
async function offsetOf(place) {
  try {
    return Number((await ask(place, { method: "HEAD", headers: TUS })).headers.get("Upload-Offset"));
  } catch (error) {
    if (error instanceof Refused && [404, 410].includes(error.status)) return null;
    throw error;
  }
}
async function begin(file) {
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${inBase64(file.name)}` };
  const place = (await ask("/uploads", { method: "POST", headers })).headers.get("Location");
  return new URL(place, window.location.href).pathname;
}
// The id of the finished upload. `tell(bytes, words)` hears how far it is; a place that is known from before is gone on with.
async function upload(file, tell, signal) {
  const mark = `sparsebook-upload ${file.name} ${file.size} ${file.lastModified}`;
  const piece = Math.min(8 << 20, Math.max(256 << 10, Math.ceil(file.size / 24)));
  let place = localStorage.getItem(mark);
  let offset = null;
  for (let attempt = 0; offset === null || offset < file.size; ) {
    signal.throwIfAborted();
    try {
      if (offset === null && place) offset = await offsetOf(place);
      if (offset === null) {
        place = await begin(file);
        localStorage.setItem(mark, place);
        offset = 0;
      }
      tell(offset, "");
      if (offset < file.size) {
        const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
        const answer = await ask(place, { method: "PATCH", headers, body: file.slice(offset, offset + piece), signal });
        offset = Number(answer.headers.get("Upload-Offset"));
        tell(offset, "");
      }
      attempt = 0;
    } catch (error) {
      if (signal.aborted || !mayPass(error) || ++attempt > ATTEMPTS) throw error;
      tell(offset ?? 0, "the connection was lost: trying again");
      await pause(Math.min(5, 0.5 * attempt));
      offset = null;
    }
  }
  return place.split("/").pop();
}

// ------------------------------------------------------------------ the form

function kindOf(file) {
  const name = file.name.toLowerCase();
  if (name.endsWith(".onnx") || name.endsWith(".zip")) return "model";
  return name.endsWith(".npz") ? "data" : "external";
}
// What fetch cannot say: how far a body has gone up.
function post(path, form, headers, tell, signal) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(withKey(headers))) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => tell(event.loaded, event.total));
    request.addEventListener("load", () => {
      const answer = new Response(request.responseText, { status: request.status });
      answer.ok ? answer.json().then(done, failed) : refusal(answer).then(failed, failed);
    });
    request.addEventListener("error", () => failed(new TypeError("the connection broke")));
    request.addEventListener("abort", () => failed(signal.reason));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}
async function compress(model, others, config, show, signal) {
  const id = await upload(model, (bytes, words) => show(model, bytes, model.size, words), signal);
  const form = new FormData();
  form.append("config", new Blob([JSON.stringify(config)], { type: "application/json" }), "config.json");
  for (const file of others) form.append(kindOf(file), file, file.name);
  const name = others.length === 1 ? others[0] : { name: "the other files" };
  const headers = { "Idempotency-Key": crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const tell = (bytes, total) => others.length && show(name, bytes, total, "");
      const job = await post(`/compress?upload=${encodeURIComponent(id)}`, form, headers, tell, signal);
      localStorage.setItem(`sparsebook-original ${job.id}`, id);
      return job;
    } catch (error) {
      if (signal.aborted || !mayPass(error) || attempt > ATTEMPTS) throw error;
      show(name, 0, 1, "the connection was lost: trying again");
      await pause(Math.min(5, 0.5 * attempt));
    }
  }
}

function wireForm(form) {
  const [input, list, zone] = ["files", "chosen", "drop"].map((id) => document.getElementById(id));
  const [slider, shown, go, stop] = ["drop-most", "drop-said", "go", "stop"].map((id) => document.getElementById(id));
  const [box, bar, what, words] = ["sending", "sent", "sending-what", "sending-said"].map((id) => document.getElementById(id));
  const wrong = document.getElementById("config-said");
  let files = [];
  let sending = null;

  function add(more) {
    for (const file of more) {
      const kind = kindOf(file);
      files = files.filter((other) => other.name !== file.name && !(kind === "model" && kindOf(other) === "model"));
      files.push(file);
    }
    list.replaceChildren(...files.map((file) => {
      const row = document.createElement("li");
      const kind = document.createElement("span");
      kind.className = "kind";
      kind.textContent = kindOf(file) === "external" ? "external data" : kindOf(file);
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "remove";
      remove.setAttribute("aria-label", `remove ${file.name}`);
      remove.addEventListener("click", () => { files = files.filter((other) => other !== file); add([]); });
      const name = document.createElement("span");
      name.textContent = `${file.name}, ${inUnits(file.size)}`;
      row.append(kind, name, remove);
      return row;
    }));
  }
  input.addEventListener("change", () => { add(input.files); input.value = ""; });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", kind === "dragover");
      if (kind === "drop") add(event.dataTransfer.files);
    });
  }
  form.addEventListener("change", () => { slider.disabled = form.elements.way.value !== "budget"; });
  slider.addEventListener("input", () => { shown.textContent = `${(slider.value / 10).toFixed(1)} percentage points`; });
  stop.addEventListener("click", () => sending?.abort());

  function config() {
    wrong.textContent = "";
    const text = document.getElementById("config").value.trim();
    let own = {};
    try {
      own = text ? JSON.parse(text) : {};
    } catch (error) {
      wrong.textContent = `No JSON: ${error.message}`;
      form.querySelector("details").open = true;
      return null;
    }
    const way = form.elements.way.value;
    const asked = { preset: way === "budget" ? "safe" : way, output: document.getElementById("output").value };
    if (way === "budget") return { ...asked, ...own, budget: { max_drop: slider.value / 1000, ...own.budget } };
    return { ...asked, ...own };
  }
  let since = null;
  function show(file, bytes, total, text) {
    bar.max = total || 1;
    bar.value = bytes;
    const share = `${Math.floor(100 * bytes / (total || 1))}%`;
    what.textContent = `Sending ${file.name}: ${share}`;
    document.title = `${share} of ${file.name} sent – Sparsebook`;
    if (since?.name !== file.name || text) since = { name: file.name, bytes, at: performance.now() };
    const seconds = (performance.now() - since.at) / 1000;
    const speed = (bytes - since.bytes) / seconds;
    const pace = seconds > 1 && speed > 0 && bytes < total ? `, ${inUnits(speed)}/s, ${inTime(1 + (total - bytes) / speed)} left` : "";
    words.textContent = text || `${inUnits(bytes)} of ${inUnits(total)}${pace}`;
  }
  const title = document.title;
  // What has been sent cannot be chosen otherwise any more.
  function busy(now) {
    for (const id of ["drop", "ways", "more"]) document.getElementById(id).inert = now;
    [go.disabled, stop.hidden, box.hidden] = [now, !now, !now];
    if (!now) [document.title, since] = [title, null];
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (sending) return;
    noComplaint();
    const model = files.find((file) => kindOf(file) === "model");
    const others = files.filter((file) => file !== model);
    const chosen = config();
    if (!chosen) return;
    if (!model) return complain("Choose a model first: one .onnx file, or a .zip of it and its external data.");
    if (form.elements.way.value === "budget" && !others.some((file) => kindOf(file) === "data")) {
      return complain("A budget is measured on samples: add an .npz file with one array for every input of the model.");
    }
    sending = new AbortController();
    busy(true);
    compress(model, others, chosen, show, sending.signal)
      .then((job) => window.location.assign(`/page/jobs/${job.id}`))
      .catch((error) => { if (!sending.signal.aborted) complain(said(error)); })
      .finally(() => { sending = null; busy(false); });
  });
}

// ------------------------------------------------------------------ the list

const LOOK_SECONDS = 3;
function wireList(list) {
  const [search, state] = ["search", "state"].map((id) => document.getElementById(id));
  let asked = 0;
  async function look(cursor = null) {
    const mine = ++asked;
    const query = new URLSearchParams();
    if (search.value.trim()) query.set("search", search.value.trim());
    if (state.value) query.set("state", state.value);
    if (cursor) query.set("cursor", cursor);
    const found = await part(`/page/parts/jobs?${query}`);
    if (mine !== asked) return;
    list.setAttribute("aria-busy", "false");
    if (cursor) {
      list.querySelector("[data-more]").parentElement.remove();
      list.append(...found);
    } else list.replaceChildren(...found);
    list.querySelector("[data-clear]")?.addEventListener("click", () => {
      [search.value, state.value] = ["", ""];
      search.focus();
      again();
    });
    list.querySelector("[data-more]")?.addEventListener("click", (event) => look(event.target.dataset.more));
  }
  const again = () => look().then(() => noComplaint("list"), (error) => {
    list.setAttribute("aria-busy", "false");
    if (!list.querySelector("table")) list.textContent = "The jobs cannot be shown now.";
    complain(said(error), "list");
  });
  let typing = 0;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(again, 200); });
  state.addEventListener("change", again);
  document.addEventListener("key", again);
  setInterval(() => {
    if (!document.hidden && list.querySelectorAll("table").length === 1 && list.querySelector("[data-live]")) again();
  }, 1000 * LOOK_SECONDS);
  again();
}

const sendForm = document.getElementById("send");
if (sendForm) wireForm(sendForm);
const jobList = document.getElementById("jobs");
if (jobList) wireList(jobList);
