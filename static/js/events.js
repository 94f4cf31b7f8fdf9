// Follows events as they happen: the server sends each as the row to put on top of the list.
(() => {
  "use strict";
  const button = document.querySelector("[data-follow]");
  const list = document.querySelector("[data-events]");
  if (!button || !list) return;
  const label = button.querySelector("[data-follow-label]");
  const status = document.querySelector("[data-follow-status]");
  const ROWS_MAX = 500;
  let source = null;

  const show = (text, following) => {
    label.textContent = text;
    button.setAttribute("aria-pressed", String(following));
  };

  const stop = (text) => {
    source?.close();
    source = null;
    show("Follow live", false);
    status.textContent = text;
  };

  const insert = (message) => {
    const holder = document.createElement("template");
    holder.innerHTML = JSON.parse(message.data).html;
    const row = holder.content.querySelector("[data-event]");
    if (list.querySelector(`[data-event="${row.dataset.event}"]`)) return;
    row.classList.add("event-new");
    list.prepend(row);
    document.querySelector("[data-events-none]")?.remove();
    while (list.children.length > ROWS_MAX) list.lastElementChild.remove();
  };

  button.addEventListener("click", () => {
    if (source) return stop("No longer following.");
    source = new EventSource(button.dataset.follow);
    show("Connecting…", true);
    source.addEventListener("open", () => {
      show("Following", true);
      status.textContent = "Following events as they happen.";
    });
    source.addEventListener("message", insert);
    source.addEventListener("end", (message) => stop(JSON.parse(message.data).detail));
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) stop("Following was refused; load the page again.");
      else if (source) show("Connecting…", true);
    });
  });

  addEventListener("pagehide", () => source?.close());
})();
