// The keys page: revoking asks in a dialog (without scripts the opened details ask), and scopes show when chosen.
(() => {
  "use strict";
  const dialog = document.querySelector("[data-revoke-dialog]");
  let form = null;

  for (const details of document.querySelectorAll("[data-revoke]")) {
    const summary = details.querySelector("summary");
    summary.setAttribute("role", "button");
    summary.addEventListener("click", (event) => {
      event.preventDefault();
      form = details.querySelector("[data-revoke-form]");
      const name = details.closest(".key").querySelector(".key-name").textContent;
      dialog.querySelector("[data-revoke-name]").textContent = name;
      dialog.returnValue = "";
      dialog.showModal();
    });
  }

  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "revoke") form?.requestSubmit();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close("");
  });

  const newKey = document.querySelector("[data-new-key-form]");
  const scopes = newKey.querySelector("[data-custom-scopes]");
  const showScopes = () => {
    const custom = newKey.elements.access.value === "custom";
    scopes.hidden = !custom;
    scopes.disabled = !custom;
  };
  newKey.addEventListener("change", showScopes);
  showScopes();
})();
