// What every page has: the theme toggle, copy buttons, and announcing what was copied.
(() => {
  "use strict";

  const toggle = document.querySelector("[data-theme-toggle]");
  const nameToggle = () => {
    toggle.setAttribute("aria-label", one.isDark() ? "Use the light theme" : "Use the dark theme");
  };
  if (toggle) {
    nameToggle();
    toggle.addEventListener("click", () => {
      one.setTheme(one.isDark() ? "light" : "dark");
      nameToggle();
    });
  }

  // A page with a new key is the answer to a form; loading it again must not send the form again.
  const answer = document.querySelector("[data-address]");
  if (answer) history.replaceState(null, "", answer.dataset.address);

  // A form that is on its way is not sent once more: what it makes, a key say, is shown in one answer only.
  const SENDING_MS = 15_000;
  const release = (form) => {
    delete form.dataset.sending;
    for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  };
  addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    if ("sending" in form.dataset) return event.preventDefault();
    form.dataset.sending = "";
    event.submitter?.setAttribute("aria-busy", "true");
    setTimeout(release, SENDING_MS, form);
  });
  // The browser may bring the page back as it was left.
  addEventListener("pageshow", () => document.querySelectorAll("[data-sending]").forEach(release));

  // A form that came back with messages: begin at the first of them.
  document.querySelector('[aria-invalid="true"], [data-form-problem]')?.focus();

  // What a form sends by its address stays in histories and logs, where a key is a leaked one: it is taken out before
  // anything else hears of what was typed or pasted.
  const KEY = /org_[0-9a-z]{4,32}_key_[0-9A-Za-z]{49}(?![0-9A-Za-z])/g;
  const takeKeysOut = (event) => {
    const [field, form] = [event.target, event.target.form];
    const note = form?.querySelector("[data-key-note]");
    if (!note) return;
    const text = field.value.replace(KEY, "org_***_key_***");
    if (text !== field.value) {
      field.value = text;
      note.textContent = "An API key was taken out of your text. It has not been sent.";
    } else if (!text) note.textContent = "";
  };
  document.addEventListener("input", takeKeysOut, true);

  const announcer = document.createElement("p");
  announcer.className = "visually-hidden";
  announcer.setAttribute("role", "status");
  document.body.append(announcer);

  one.announce = (text) => {
    announcer.textContent = text;
  };

  // Works without the clipboard permission too, and on addresses that are neither https nor local.
  const copyText = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.className = "visually-hidden";
      area.value = text;
      document.body.append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      return copied;
    }
  };

  const copyFrom = async (button, source) => {
    const label = (button.dataset.label ??= button.textContent);
    const copied = await copyText(source.textContent.replace(/\n$/, ""));
    button.textContent = copied ? "Copied" : "Press Ctrl-C";
    button.toggleAttribute("data-copied", copied);
    one.announce(copied ? "Copied to the clipboard" : "Copying was refused");
    if (!copied) getSelection().selectAllChildren(source);
    setTimeout(() => {
      button.textContent = label;
      button.removeAttribute("data-copied");
    }, 1600);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom
      ? document.querySelector(button.dataset.copyFrom)
      : button.closest(".code-block").querySelector("code");
    if (source) copyFrom(button, source);
  });
})();
