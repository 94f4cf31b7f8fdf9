// The search dialog: opened by its button, `/` or Ctrl-K; a combobox whose listbox htmx fills while one types.
(() => {
  "use strict";
  const dialog = document.getElementById("search-dialog");
  const input = document.getElementById("search-input");
  const results = document.getElementById("search-results");
  const empty = dialog.querySelector("[data-search-empty]");
  const status = dialog.querySelector("[data-search-status]");
  const options = () => [...results.querySelectorAll('[role="option"]')];
  const selected = () => results.querySelector('[aria-selected="true"]');

  const count = (number) => `${number} result${number === 1 ? "" : "s"}`;

  const select = (option) => {
    selected()?.setAttribute("aria-selected", "false");
    if (!option) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    input.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest", behavior: "instant" });
  };

  const refresh = () => {
    const blank = !input.value.trim();
    if (blank) results.replaceChildren();
    const found = options();
    empty.hidden = !blank;
    input.setAttribute("aria-expanded", String(found.length > 0));
    // A list without an option is none: what stands there then is a note.
    results.setAttribute("role", found.length ? "listbox" : "group");
    select(found[0]);
    if (blank) status.textContent = "";
    else if (found.length) status.textContent = count(found.filter((option) => !("resultAll" in option.dataset)).length);
    else status.textContent = results.querySelector("[data-results-note]")?.textContent ?? "";
  };

  const open = () => {
    if (dialog.open) return;
    document.getElementById("site-menu")?.hidePopover?.();
    dialog.showModal();
    input.focus();
    input.select();
    refresh();
  };

  const step = (by) => {
    const found = options();
    if (!found.length) return;
    const place = found.indexOf(selected());
    select(found[(place + by + found.length) % found.length]);
  };

  for (const button of document.querySelectorAll("[data-search-open]")) button.addEventListener("click", open);
  dialog.querySelector("[data-search-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
    const idea = event.target.closest("[data-search-idea]");
    if (idea) {
      input.value = idea.dataset.searchIdea;
      input.focus();
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (event.target.closest('[role="option"]')) dialog.close();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    const chord = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
    if (slash || chord) {
      event.preventDefault();
      open();
    }
  });

  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      step(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && selected() && results.dataset.query === input.value) {
      event.preventDefault();
      selected().click();
    }
  });

  input.addEventListener("input", () => {
    if (!input.value.trim()) refresh();
  });

  results.addEventListener("htmx:afterSwap", () => {
    results.dataset.query = asked;
    refresh();
  });

  let asked = "";
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt !== input) return;
    if (!input.value.trim()) event.preventDefault();
    asked = input.value;
  });

  // Too many at once are refused with words for who typed them.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.elt !== input && event.detail.target !== results) return;
    if (event.detail.xhr.status !== 429) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  });

  for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.body.addEventListener(failure, (event) => {
      if (event.detail.elt !== input) return;
      const note = document.createElement("div");
      note.className = "results-note";
      note.dataset.resultsNote = "";
      note.textContent = "Search cannot be reached just now. Press Enter to try again.";
      results.replaceChildren(note);
      refresh();
    });
  }

  // Which hit of a member's search is opened is told beside the link, which leads straight to its document.
  const tell = (event) => {
    const hit = event.target.closest?.("a[data-hit]");
    const noted = hit?.closest("[data-search-noted]");
    if (!noted || event.button > 1) return;
    const form = new FormData();
    for (const [name, value] of Object.entries(JSON.parse(noted.dataset.searchNoted))) form.append(name, value ?? "");
    form.append("document", hit.dataset.hit);
    form.append("rank", hit.dataset.rank);
    form.append("csrf", document.querySelector('meta[name="csrf-token"]').content);
    navigator.sendBeacon("/search/opened", form);
  };
  addEventListener("click", tell);
  addEventListener("auxclick", tell);

  // The browser restores a page with what was typed; the dialog starts closed and fresh.
  addEventListener("pageshow", () => {
    if (dialog.open) dialog.close();
  });
})();
