// An upload tells how far it is, and its answer takes the place of the page; without this the form works as it is.
(() => {
  "use strict";
  const find = (name) => document.querySelector(`[data-upload-${name}]`);

  const show = (text, part) => {
    find("label").textContent = text;
    find("progress").hidden = part === null;
    if (part !== null) find("progress").value = part;
  };

  const complain = (text) => {
    show("Upload", null);
    find("problem").textContent = text;
    find("problem").hidden = !text;
  };

  const isUpload = (event) => event.target.matches?.("[data-upload]");

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isUpload(event)) return;
    complain("");
    show("Sending…", 0);
  });

  document.addEventListener("htmx:xhr:progress", (event) => {
    const { lengthComputable, loaded, total } = event.detail;
    if (!isUpload(event) || !lengthComputable || !total) return;
    const part = Math.floor((100 * loaded) / total);
    show(part < 100 ? `Sending… ${part} %` : "Reading…", part);
  });

  // A refused file comes back with the form and its message.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status !== 422) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "content") return;
    (document.querySelector('[aria-invalid="true"]') ?? document.getElementById("upload-title"))?.focus({ preventScroll: true });
  });

  document.addEventListener("htmx:sendError", (event) => {
    if (isUpload(event)) complain("The upload broke off. Send it again; what has been stored is left alone.");
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (isUpload(event)) complain("The upload was not taken. Load the page again and send it once more.");
  });
})();
