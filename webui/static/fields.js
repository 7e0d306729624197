// An address field belongs to its method: `dynamic` leaves the choice to the pool.

function follow(form) {
  const address = form.querySelector("input[name=address]");
  const method = form.querySelector("input[name=method]:checked");
  if (address && method) address.disabled = method.value === "dynamic";
}

/** Sets the fields of `root` right now; changes are followed for all forms by themselves. */
export function settle(root) {
  root.querySelectorAll("form").forEach(follow);
}

export function startFields() {
  settle(document);
  document.addEventListener("change", (event) => event.target.name === "method" && follow(event.target.form));
}
