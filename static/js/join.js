// The code of an invitation stands in the fragment, which browsers do not send: move it into the form, and go on.
(() => {
  "use strict";

  const form = document.querySelector("[data-join]");
  const useFragment = () => {
    const code = location.hash.slice(1);
    if (!form || !code) return;
    history.replaceState(null, "", location.pathname);
    form.elements.code.value = code;
    form.requestSubmit();
  };
  addEventListener("hashchange", useFragment);
  useFragment();
})();
