// The machines page: drag an unknown machine to the nodes to adopt it, pick all, search while typing.

import { openDialog } from "./dialog.js";

function startDrag(target) {
  const clear = () => {
    target.classList.remove("drop");
    document.querySelector(".dragging")?.classList.remove("dragging");
  };
  document.addEventListener("dragstart", (event) => {
    const card = event.target.closest?.("[data-adopt]");
    if (!card) return;
    card.classList.add("dragging");
    event.dataTransfer.setData("text/x-bootsrv-adopt", card.dataset.adopt);
    event.dataTransfer.effectAllowed = "move";
  });
  document.addEventListener("dragend", clear);
  const ours = (event) => event.dataTransfer.types.includes("text/x-bootsrv-adopt");
  target.addEventListener("dragover", (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    target.classList.add("drop");
  });
  target.addEventListener("dragleave", (event) => target.contains(event.relatedTarget) || target.classList.remove("drop"));
  target.addEventListener("drop", (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    clear();
    openDialog(event.dataTransfer.getData("text/x-bootsrv-adopt"));
  });
}

function startPicking() {
  document.addEventListener("change", (event) => {
    if (event.target.id === "pick-all")
      document.querySelectorAll("input[name=id]").forEach((box) => (box.checked = event.target.checked));
  });
}

function startSearch(form) {
  let timer = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => form.requestSubmit(), 400);
  });
  const field = form.querySelector("input[type=search]");
  if (field.value && field.hasAttribute("data-refocus")) {
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

export function startBoard() {
  const target = document.getElementById("nodes");
  if (target) startDrag(target);
  startPicking();
  const search = document.querySelector("form.search");
  if (search) startSearch(search);
}
