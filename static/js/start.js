// The third step: the first call, made from the browser with the key that is shown above or was pasted.
(() => {
  "use strict";
  const call = document.querySelector("[data-call]");
  if (!call) return;
  const button = call.querySelector("[data-first-call]");
  const problem = call.querySelector("[data-call-problem]");
  const panel = call.querySelector("[data-answer]");
  const step = call.closest(".step");

  const readKey = () =>
    document.querySelector("[data-new-key]")?.textContent.trim() ?? document.getElementById("call-key").value.trim();

  const complain = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };

  const celebrate = () => {
    step.classList.remove("step-now");
    step.classList.add("step-done");
    step.querySelector("[data-step-number]").hidden = true;
    step.querySelector("[data-step-check]").hidden = false;
    step.querySelector("[data-onwards]").hidden = false;
  };

  button.addEventListener("click", async () => {
    const key = readKey();
    complain(key ? "" : "Create a key above, or paste one of yours.");
    if (!key) return document.getElementById("call-key")?.focus();
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      const answer = await one.send({
        method: "POST",
        path: "/v1/entities",
        key,
        headers: { "Content-Type": "application/json" },
        body: document.getElementById("call-body").value,
      });
      one.showAnswer(panel, answer);
      one.announce(`Answered with status ${answer.status} in ${answer.milliseconds} milliseconds`);
      if (answer.status === 201) celebrate();
    } catch {
      complain("The request could not be sent. Is the portal still running?");
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
})();
