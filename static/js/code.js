// Code on pages: language tabs that are remembered, and colours for code that is made in the browser.
(() => {
  "use strict";
  const STORED = "one-language";
  const GROUPS = "[data-tabs], [data-samples]";
  const TAB = ':is([data-tabs], [data-samples]) [role="tab"]';

  const readLanguage = () => {
    try {
      return localStorage.getItem(STORED);
    } catch {
      return null;
    }
  };

  const show = (group, label) => {
    const tabs = [...group.querySelectorAll('[role="tab"]')];
    if (!tabs.some((tab) => tab.dataset.tab === label)) return;
    for (const tab of tabs) {
      const chosen = tab.dataset.tab === label;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    for (const panel of group.querySelectorAll('[role="tabpanel"][data-tab]')) {
      panel.toggleAttribute("data-active", panel.dataset.tab === label);
    }
  };

  // Other groups above may change their height; what the reader clicked stays where it is.
  const choose = (tab) => {
    const before = tab.getBoundingClientRect().top;
    try {
      localStorage.setItem(STORED, tab.dataset.tab);
    } catch {
      // Not remembered, then.
    }
    for (const group of document.querySelectorAll(GROUPS)) show(group, tab.dataset.tab);
    document.dispatchEvent(new CustomEvent("one:language", { detail: tab.dataset.tab }));
    scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: "instant" });
  };

  document.addEventListener("click", (event) => {
    const tab = event.target.closest(TAB);
    if (tab) choose(tab);
  });

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.(TAB);
    if (!tab) return;
    const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
    const place = tabs.indexOf(tab);
    const goal = {
      ArrowRight: tabs[(place + 1) % tabs.length],
      ArrowLeft: tabs[(place + tabs.length - 1) % tabs.length],
      Home: tabs[0],
      End: tabs.at(-1),
    }[event.key];
    if (!goal) return;
    event.preventDefault();
    goal.focus();
    choose(goal);
  });

  const language = readLanguage();
  if (language) for (const group of document.querySelectorAll(GROUPS)) show(group, language);
  one.language = () => readLanguage() ?? "curl";

  // Words of a text with their class; joined they are the text again. Only text nodes are made, never markup.
  const JSON_WORDS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  const CODE_WORDS =
    /((?:#|\/\/)[^\n]*)|("""[\s\S]*?"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(\$\w+)|\b(await|const|defer|echo|end|if|import|new|nil|puts|print|require|throw|true|false|null)\b|\b(\d+)\b/g;
  const SHELL_WORDS = /(#[^\n]*)|("(?:[^"\\]|\\.)*"|'[^']*')|(\$\w+)|(\s-{1,2}[\w-]+)|\b(curl)\b/g;

  const jsonClass = (match) => {
    if (match[1]) return match[2] ? "nt" : "s2";
    return match[3] ? "kc" : "mi";
  };
  const shellClass = (match) => ["c1", "s2", "nv", "na", "nb"][match.slice(1).findIndex(Boolean)];
  const codeClass = (match) => ["c1", "s2", "nv", "k", "mi"][match.slice(1).findIndex(Boolean)];
  const kinds = { json: [JSON_WORDS, jsonClass], shell: [SHELL_WORDS, shellClass], code: [CODE_WORDS, codeClass] };

  one.highlight = (element, text, kind) => {
    element.replaceChildren();
    const [pattern, classOf] = kinds[kind];
    let position = 0;
    for (const match of text.matchAll(pattern)) {
      element.append(text.slice(position, match.index));
      const word = document.createElement("span");
      word.className = classOf(match);
      const colon = kind === "json" && match[2] ? match[2] : "";
      word.textContent = colon ? match[1] : match[0];
      element.append(word, colon);
      position = match.index + match[0].length;
    }
    element.append(text.slice(position));
  };

  for (const element of document.querySelectorAll("[data-highlight]")) {
    one.highlight(element, element.textContent, element.dataset.highlight === "json" ? "json" : "shell");
  }
})();
