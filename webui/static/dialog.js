// A link with data-dialog opens its page's form in a dialog instead. Without script the page itself is shown.
// The server answers a bad form with the same form and its errors, a good one with where to go. That is a redirect,
// but a fetch would follow it and so use up the message that waits for the next page: X-Dialog asks for its address.

import { settle } from "./fields.js";

function sheetOf(text) {
  return new DOMParser().parseFromString(text, "text/html").querySelector(".sheet");
}

function show(dialog, sheet) {
  dialog.replaceChildren(sheet);
  settle(dialog);
  const title = sheet.querySelector("h1");
  title.id = "dialog-title";
  dialog.setAttribute("aria-labelledby", title.id);
  (sheet.querySelector("[aria-invalid]") ?? sheet.querySelector("[autofocus]"))?.focus();
}

async function submit(dialog, form, submitter) {
  const buttons = form.querySelectorAll("button");
  const body = new FormData(form, submitter);
  buttons.forEach((button) => (button.disabled = true));
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(body),
      credentials: "same-origin",
      headers: { "X-Dialog": "1" },
    });
    const next = answer.headers.get("X-Dialog-Done");
    if (next) {
      // Where we are already, an assign() to the same address would only scroll.
      if (new URL(next, location).href === location.href) location.reload();
      else location.assign(next);
      return;
    }
    if (answer.status === 401) return location.reload(); // the session has ended: the login page comes
    const sheet = sheetOf(await answer.text());
    if (!sheet) throw new Error(`the server answered ${answer.status}`);
    show(dialog, sheet);
  } catch (error) {
    buttons.forEach((button) => (button.disabled = false));
    let note = dialog.querySelector(".unsent");
    if (!note) {
      note = document.createElement("div");
      note.className = "note bad unsent";
      note.setAttribute("role", "alert");
      form.before(note);
    }
    note.textContent = `Not sent: ${error.message}. Nothing was changed; try again.`;
  }
}

/** Opens the form page at `url` in a dialog; `invoker` gets the focus back when it closes. */
export async function openDialog(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  const sheet = answer.ok && !answer.redirected ? sheetOf(await answer.text()) : null;
  if (!sheet) {
    location.assign(url);
    return;
  }
  const dialog = document.createElement("dialog");
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target.closest("[data-cancel]")) {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(dialog, event.target, event.submitter);
  });
  dialog.showModal();
  show(dialog, sheet);
}

export function startDialogs() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    openDialog(link.href);
  });
  // A GET form (the bulk actions of the board) can open its page in a dialog as well.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-dialog]")) return;
    event.preventDefault();
    const query = new URLSearchParams(new FormData(form, event.submitter));
    // A button without a formaction of its own says the page's address there, not the form's.
    const button = event.submitter?.hasAttribute("formaction") ? event.submitter : null;
    openDialog(`${button?.formAction ?? form.action}?${query}`);
  });
}
