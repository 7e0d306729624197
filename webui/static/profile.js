// A profile's form: what it makes is fetched as one types and put beside it; errors go to their fields. Rows of
// lists come and go here; without script the form's own buttons do the same.

const QUIET_MS = 300; // after the last key
let asked = null;

function keyOf(form, field) {
  let key = field.replace(/\[(\d+)\]/g, ".$1");
  for (const list of form.querySelectorAll("[data-rows]")) {
    const path = list.dataset.rows;
    const found = key.match(/\.(\d+)(.*)$/);
    if (!found || !key.startsWith(`${path}.`)) continue;
    const row = [...list.querySelectorAll(":scope > .record")].filter(filled)[Number(key.slice(path.length + 1).split(".")[0])];
    if (row) key = `${path}.${row.dataset.place}${key.slice(path.length + 1).replace(/^\d+/, "")}`;
  }
  const boxes = [...form.querySelectorAll("[data-key-of]")].filter((box) => !box.closest("template"));
  return boxes.find((box) => box.dataset.keyOf === key) ?? boxes.find((box) => box.dataset.keyOf.startsWith(`${key}.`));
}

const filled = (row) =>
  [...row.querySelectorAll("input:not([data-plain]), select, textarea")].some((one) => (one.type === "checkbox" ? one.checked : one.value));

function unblame(form) {
  for (const error of form.querySelectorAll("[data-key-of] > .error")) error.remove();
  for (const input of form.querySelectorAll("[data-key-of] [aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    const hint = input.closest("[data-key-of]").querySelector(".hint");
    if (hint) input.setAttribute("aria-describedby", hint.id);
    else input.removeAttribute("aria-describedby");
  }
}

function blame(form, finding) {
  const box = keyOf(form, finding.dataset.field);
  const input = box?.querySelector("input, select, textarea");
  if (!input || box.querySelector(".error")) return;
  const error = document.createElement("span");
  error.className = "error";
  error.id = `e-${input.id}`;
  error.textContent = finding.dataset.reason;
  box.querySelector(".hint") ? box.querySelector(".hint").before(error) : box.append(error);
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", [error.id, input.getAttribute("aria-describedby")].filter(Boolean).join(" "));
  box.closest("details").open = true;
}

// What is typed as a password goes to be hashed, and nowhere else.
function values(form) {
  const all = new FormData(form);
  for (const plain of form.querySelectorAll("[data-plain]")) all.delete(plain.name);
  return all;
}

async function hash(form, plain) {
  const box = plain.closest(".field");
  const input = document.getElementById(plain.dataset.plain); // now: later a new row may have the place of this one
  const password = plain.value;
  box.querySelector(".error")?.remove();
  if (!password) return;
  const body = new URLSearchParams({ csrf_token: form.elements.csrf_token.value, password });
  let reason = "";
  try {
    const answer = await fetch(form.dataset.hash, { method: "POST", body, credentials: "same-origin" });
    if (answer.status === 401) return location.reload();
    const text = await answer.text();
    if (plain.value !== password) return; // another one was typed meanwhile
    if (answer.ok) {
      input.value = text;
      plain.value = "";
      input.dispatchEvent(new Event("input", { bubbles: true }));
      return;
    }
    reason = answer.status === 422 ? text : `The server answered ${answer.status}.`;
  } catch (error) {
    reason = `Not hashed: ${error.message}.`;
  }
  const error = document.createElement("span");
  error.className = "error";
  error.setAttribute("role", "alert");
  error.textContent = reason;
  box.querySelector(".hint").before(error);
}

async function look(form) {
  asked?.abort();
  asked = new AbortController();
  const result = form.querySelector("#result");
  result.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.dataset.preview, {
      method: "POST",
      body: new URLSearchParams(values(form)),
      credentials: "same-origin",
      signal: asked.signal,
    });
    if (answer.status === 401) return location.reload(); // the session has ended: the login page comes
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    show(form, result, await answer.text());
  } catch (error) {
    if (error.name === "AbortError") return;
    const note = document.createElement("p");
    note.className = "note bad";
    note.textContent = `Not looked at: ${error.message}. What stands here is older than the form.`;
    result.querySelector(".note")?.remove();
    result.prepend(note);
  }
  result.setAttribute("aria-busy", "false");
}

function show(form, result, text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const [from, to] = [result.querySelector(".file"), page.querySelector(".file")];
  const changes = result.querySelector("#changes");
  const at = from?.scrollTop ?? 0;
  const open = changes?.open;
  result.replaceChildren(...page.body.childNodes);
  if (to) to.scrollTop = at;
  if (changes && open) result.querySelector("#changes").open = true;
  const [brief, verdict] = [form.querySelector(".verdict.brief"), result.querySelector(".verdict")];
  brief.textContent = verdict.textContent;
  brief.className = `${verdict.className} brief`;
  unblame(form);
  for (const finding of result.querySelectorAll(".findings [data-field]")) blame(form, finding);
}

function addRow(form, list) {
  const place = Math.max(-1, ...[...list.querySelectorAll(":scope > .record")].map((row) => Number(row.dataset.place))) + 1;
  const html = list.querySelector(":scope > template").innerHTML;
  const holder = document.createElement("template");
  holder.innerHTML = html.replaceAll(`${list.dataset.rows}.0000.`, `${list.dataset.rows}.${place}.`).replaceAll("-0000-", `-${place}-`);
  const row = holder.content.firstElementChild;
  row.dataset.place = place;
  row.setAttribute("aria-label", `${row.getAttribute("aria-label").trim()} ${place + 1}`);
  list.querySelector(":scope > template").before(row);
  ready(list);
  row.querySelector("input, select, textarea").focus();
}

function ready(root) {
  for (const button of root.querySelectorAll("[data-drop]")) button.hidden = false;
}

export function startProfile() {
  const form = document.querySelector("form[data-preview]");
  if (!form) return;
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(look, QUIET_MS, form);
  };
  ready(form);
  for (const button of form.querySelectorAll(".no-script")) button.hidden = true;
  form.addEventListener("input", (event) => event.target.name !== "comment" && !event.target.dataset.plain && later());
  form.addEventListener("click", (event) => {
    const drop = event.target.closest("[data-drop]");
    const add = event.target.closest("button[value^='add:']");
    if (drop) {
      const list = drop.closest("[data-rows]");
      drop.closest(".record").remove();
      list.querySelector(":scope > button").focus();
      later();
    } else if (add) {
      event.preventDefault();
      addRow(form, add.closest("[data-rows]"));
    }
  });
  form.addEventListener("change", (event) => {
    if (event.target.dataset.plain) hash(form, event.target);
    const fill = event.target.selectedOptions?.[0]?.dataset.fill;
    const into = event.target.closest(".record")?.querySelector("textarea[name$='.with']");
    if (fill && into && !into.value) into.value = fill.trimEnd();
  });
  let saved = JSON.stringify([...new FormData(form)]);
  form.addEventListener("submit", () => (saved = null));
  window.addEventListener("beforeunload", (event) => {
    if (saved !== null && JSON.stringify([...new FormData(form)]) !== saved) event.preventDefault();
  });
}
