// Sends the request that fits from the page that explains what was wrong; one that may change something asks first.
(() => {
  "use strict";
  const form = document.querySelector("[data-replay]");
  if (!form) return;
  const panel = form.closest("[data-replay-console]").querySelector("[data-answer]");
  const problem = form.querySelector("[data-replay-problem]");
  const confirm = document.getElementById("replay-confirm");
  const buttons = [...document.querySelectorAll("[data-replay-send]")];
  const { method, path, body } = JSON.parse(form.dataset.replay);
  // Sent twice by mistake, it is done once; what has been sent is known by this.
  const once = method === "POST" ? { "Idempotency-Key": crypto.randomUUID() } : {};

  const complain = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };

  const isOfTheApi = () => {
    const url = new URL(path, location.origin);
    return url.origin === location.origin && url.pathname.startsWith("/v1/");
  };

  const send = async () => {
    complain("");
    confirm?.hidePopover();
    for (const button of buttons) button.disabled = true;
    try {
      if (!isOfTheApi()) throw new Error("This is no address of the API.");
      const headers = body === null ? once : { ...once, "Content-Type": "application/json" };
      const sent = { method, path, headers, body: body === null ? undefined : JSON.stringify(body) };
      const answer = await one.send({ ...sent, key: await one.readKey(form) });
      one.showAnswer(panel, answer);
      one.announce(`Answered with status ${answer.status} in ${answer.milliseconds} milliseconds`);
      panel.scrollIntoView({ block: "nearest" });
    } catch (error) {
      complain(error instanceof TypeError ? "The request could not be sent. Is the portal still running?" : error.message);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (confirm) confirm.showPopover();
    else send();
  });
  confirm?.querySelector("[data-replay-send]").addEventListener("click", send);
})();
