// Documentation and reference: where the reader is, in the navigation and in the list of contents.
(() => {
  "use strict";

  const navigation = document.querySelector("[data-navigation]");
  const current = navigation?.querySelector('[aria-current="page"]');
  if (current) {
    const section = current.closest("details");
    if (section) section.open = true;
    const middle = current.offsetTop - navigation.clientHeight / 2;
    if (middle > 0) navigation.scrollTop = middle;
    navigation.addEventListener("toggle", (event) => {
      if (event.newState === "open") navigation.scrollTop = current.offsetTop - navigation.clientHeight / 2;
    });
  }

  const contents = document.querySelector("[data-contents]");
  if (!contents) return;
  const links = [...contents.querySelectorAll("a")];
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));

  const mark = () => {
    const line = innerHeight * 0.25;
    let here = headings.findLastIndex((heading) => heading && heading.getBoundingClientRect().top <= line);
    if (innerHeight + scrollY >= document.documentElement.scrollHeight - 4) here = links.length - 1;
    links.forEach((link, place) => {
      if (place === Math.max(here, 0)) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };

  let waiting = false;
  addEventListener(
    "scroll",
    () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        mark();
      });
    },
    { passive: true },
  );
  mark();
})();
