// The ask panel: its form works by itself; here the answer is put into the panel piece by piece as it is made.
(() => {
  "use strict";
  const panel = document.querySelector("[data-ask]");
  if (!panel) return;
  const form = panel.querySelector("[data-ask-form]");
  const answer = panel.querySelector("[data-ask-answer]");
  const status = panel.querySelector("[data-ask-status]");
  const button = form?.querySelector("button");
  let source = null;

  const say = (text) => {
    status.textContent = text;
  };

  // Only what this site's own templates made is put in, and the page's policy runs no script in it.
  const fragment = (message) => {
    const holder = document.createElement("template");
    holder.innerHTML = JSON.parse(message.data).html ?? "";
    return holder.content;
  };

  const finish = () => {
    source?.close();
    source = null;
    panel.removeAttribute("aria-busy");
    if (button) button.disabled = false;
  };

  const fail = () => {
    finish();
    const note = document.createElement("p");
    note.className = "ask-problem";
    note.textContent = "The answer broke off, or there were too many questions. Ask again in a minute; the results below are not affected.";
    answer.replaceChildren(note);
    say(note.textContent);
  };

  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    source?.close();
    answer.hidden = false;
    answer.replaceChildren();
    panel.setAttribute("aria-busy", "true");
    button.disabled = true;
    say("Looking for an answer…");
    source = new EventSource(`${form.dataset.askForm}?q=${encodeURIComponent(new FormData(form).get("q"))}`);
    source.addEventListener("part", (message) => answer.append(fragment(message)));
    source.addEventListener("restart", () => answer.replaceChildren());
    source.addEventListener("answer", (message) => {
      answer.replaceChildren(fragment(message));
      finish();
      say(answer.querySelector(".ask-statement, .ask-problem")?.textContent ?? "The answer is complete.");
      form.hidden = !answer.querySelector(".ask-problem");
      panel.querySelector(".ask-hint")?.toggleAttribute("hidden", form.hidden);
      if (form.hidden) answer.focus({ preventScroll: true });
    });
    source.addEventListener("error", fail);
  });

  addEventListener("pagehide", () => source?.close());
})();
