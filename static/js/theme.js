// Runs before the first paint, so that nothing flashes: marks that scripts run, and applies the remembered theme.
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const remembered = () => {
    try {
      return localStorage.getItem("one-theme");
    } catch {
      return null;
    }
  };

  const apply = () => {
    const theme = remembered();
    const known = theme === "light" || theme === "dark";
    if (known) root.dataset.theme = theme;
    else delete root.dataset.theme;
    root.toggleAttribute("data-dark", known ? theme === "dark" : dark.matches);
  };

  root.classList.replace("no-js", "js");
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", (event) => {
    if (event.key === "one-theme") apply();
  });

  window.one = {
    isDark: () => root.hasAttribute("data-dark"),
    setTheme(theme) {
      try {
        localStorage.setItem("one-theme", theme);
      } catch {
        // Private windows may refuse; the theme then lasts as long as the page.
      }
      root.dataset.theme = theme;
      root.toggleAttribute("data-dark", theme === "dark");
    },
  };
})();
