// Try it: turns the form of an operation into a real request, and into a program that sends the same.
(() => {
  "use strict";
  const form = document.querySelector("[data-try]");
  if (!form) return;
  const panel = document.querySelector("[data-answer]");
  const sample = document.querySelector("[data-sample]");
  const problem = form.querySelector("[data-try-problem]");
  const send = form.querySelector("[data-try-send]");
  const { method, path: template, publicUrl, bodyType } = form.dataset;
  const fields = [...form.elements].filter((field) => /^(path|query|header)\./.test(field.name));

  const request = () => {
    let path = template;
    const query = new URLSearchParams();
    const headers = {};
    for (const field of fields) {
      const [place, name] = [field.name.slice(0, field.name.indexOf(".")), field.name.slice(field.name.indexOf(".") + 1)];
      const value = field.value.trim();
      if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
      else if (value && place === "query") query.append(name, value);
      else if (value) headers[name] = value;
    }
    const upload = form.elements.file;
    const body = upload ? upload.files[0] : form.elements.body?.value;
    if (bodyType) headers["Content-Type"] = bodyType;
    const asked = query.toString();
    const file = upload && (body?.name ?? upload.dataset.fileName);
    return { method, path: asked ? `${path}?${asked}` : path, headers, body, file };
  };

  const showSample = (language) => {
    const { path, headers, body, file } = request();
    const sent = { method, address: publicUrl + path, headers: Object.entries(headers), body: file ? undefined : body, file };
    const text = one.writeSample(language, sent);
    one.highlight(sample, text, language === "curl" ? "shell" : "code");
  };

  const complain = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };

  // What usually comes next after the calls of this tab that went well; the page works as well without it.
  const CALLS = "one-recent-calls";
  const showNext = () => {
    let calls = [];
    try {
      calls = JSON.parse(sessionStorage.getItem(CALLS) ?? "[]");
      const known = [...calls, form.dataset.operation].filter((call, place, all) => call !== all[place - 1]);
      sessionStorage.setItem(CALLS, JSON.stringify(known.slice(-3)));
    } catch {
      // Not remembered, then.
    }
    const after = new URLSearchParams(calls.map((call) => ["after", call]));
    const next = document.querySelector("[data-next]");
    htmx.ajax("GET", `/reference/${form.dataset.operation}/next?${after}`, { source: next, target: next, swap: "innerHTML" });
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain("");
    send.setAttribute("aria-busy", "true");
    send.disabled = true;
    try {
      const answer = await one.send({ ...request(), key: await one.readKey(form) });
      one.showAnswer(panel, answer);
      if (answer.ok) showNext();
      one.announce(`Answered with status ${answer.status} in ${answer.milliseconds} milliseconds`);
      panel.scrollIntoView({ block: "nearest" });
    } catch (error) {
      complain(error instanceof TypeError ? "The request could not be sent. Is the portal still running?" : error.message);
    } finally {
      send.removeAttribute("aria-busy");
      send.disabled = false;
    }
  });

  // A path parameter starts with the id of something the reader just made or listed, where there is one.
  const offerRecentIds = () => {
    for (const field of fields.filter((each) => /^path\./.test(each.name) || /Id$/.test(each.name))) {
      const kind = /^(path|query)\.keyId$/.test(field.name) ? "thing" : field.value.split("_")[0] || kindOf(field.name);
      const wantsKey = field.name.endsWith(".keyId");
      const ids = one
        .recentIds()
        .map((entry) => entry.split(" "))
        .filter(([id, ...words]) => id.startsWith(`${kind}_`) && words.includes("key") === wantsKey);
      if (!ids.length) continue;
      const list = document.createElement("datalist");
      list.id = `${field.id}-recent`;
      for (const [id, type] of ids) list.append(new Option(type ?? "", id));
      field.after(list);
      field.setAttribute("list", list.id);
      if (field.name.startsWith("path.")) field.value = ids[0][0];
    }
  };
  // Ids of what the person who is signed in may see join those of this tab.
  document.querySelector("[data-values]")?.addEventListener("htmx:afterSwap", (event) => {
    for (const list of event.target.querySelectorAll("datalist")) {
      const field = fields.find((each) => each.name === list.dataset.valuesFor);
      if (!field) continue;
      if (!field.list) field.setAttribute("list", list.id);
      else for (const row of list.options) if (![...field.list.options].some((each) => each.value === row.value)) field.list.append(row.cloneNode(true));
    }
  });
  const kindOf = (name) => ({ "query.groupId": "group", "query.fromId": "thing", "query.toId": "thing" })[name] ?? "thing";

  // Indent a JSON body with the Tab key would trap the keyboard, so Tab stays Tab; Ctrl-Enter sends.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });

  // A link may bring values: /reference/getDocument?documentId=…
  const given = new URLSearchParams(location.search);
  const fillFromAddress = () => {
    for (const field of fields) {
      const value = given.get(field.name.slice(field.name.indexOf(".") + 1));
      if (value !== null) field.value = value;
    }
  };

  offerRecentIds();
  fillFromAddress();
  form.addEventListener("input", () => showSample(one.language()));
  document.addEventListener("one:language", (event) => showSample(event.detail));
  showSample(one.language());
})();
