// Sends a real request to the API of this site and shows its answer. What an answer says is put on the page as text only.
(() => {
  "use strict";
  const RECENT = "one-recent-ids";
  const SHOWN_HEADERS = [
    "x-request-id", "content-type", "ratelimit", "ratelimit-policy", "retry-after", "idempotent-replayed",
    "www-authenticate", "location", "link", "etag", "deprecation", "sunset", "cache-control",
  ];

  // A stream has no end: what comes in the first seconds is shown. Nobody reads more than so many characters on a page.
  const STREAM_MS = 5000;
  const [TEXT_MAX, COLOURED_MAX] = [400_000, 60_000];

  const readText = async (response) => {
    if (!response.body) return { text: "", cut: false };
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let [text, cut] = ["", false];
    const stop = () => {
      cut = true;
      reader.cancel().catch(() => {});
    };
    const streams = (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
    const timer = streams && setTimeout(stop, STREAM_MS);
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      if (text.length > TEXT_MAX) stop();
    }
    clearTimeout(timer);
    return { text, cut };
  };

  // The key of a signed-in person lives in this variable and nowhere else.
  let minted = null;

  const mint = async () => {
    if (minted && minted.expiresAt - 30_000 > Date.now()) return minted.key;
    const token = document.querySelector('meta[name="csrf-token"]').content;
    const response = await fetch("/explorer-key", { method: "POST", headers: { "X-CSRF-Token": token } });
    if (!response.ok) throw new Error("A key could not be made: sign in again, or paste a key of yours.");
    minted = await response.json();
    return minted.key;
  };

  // The key a form asks for: the one pasted there, or one of an hour for who is signed in.
  one.readKey = async (form) => form.elements.key.value.trim() || ("signedIn" in form.dataset ? mint() : "");

  // `fetch` hides nothing of a same-origin answer, so these are the headers a program gets.
  one.send = async ({ method, path, key, headers = {}, body }) => {
    const began = performance.now();
    const response = await fetch(path, {
      method,
      headers: { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...headers },
      body,
      credentials: "omit",
      cache: "no-store",
    });
    const { text, cut } = await readText(response);
    if (response.status === 401) minted = null;
    return {
      status: response.status,
      reason: response.statusText,
      ok: response.ok,
      headers: response.headers,
      text,
      cut,
      milliseconds: Math.round(performance.now() - began),
    };
  };

  const REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
  };

  const parse = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  };

  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // Text in which `backticks` mean code, as everywhere on this site.
  const inline = (text) => {
    const paragraph = document.createElement("p");
    text.split("`").forEach((part, place) => paragraph.append(place % 2 ? make("code", part) : part));
    return paragraph;
  };

  const size = ({ text, cut }) => {
    const bytes = new TextEncoder().encode(text).length;
    return `${cut ? "the first " : ""}${bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`}`;
  };

  // `"org-minute";r=59;t=60, …` with `"org-minute";q=60;w=60, …`: the first layer is the one that binds.
  const cost = (answer) => {
    if (answer.headers.get("idempotent-replayed")) return "replayed, not counted";
    const left = /"([^"]+)";r=(\d+)/.exec(answer.headers.get("ratelimit") ?? "");
    if (!left) return "";
    const policy = (answer.headers.get("ratelimit-policy") ?? "").split(",").find((part) => part.includes(`"${left[1]}"`));
    const quota = /;q=(\d+)/.exec(policy ?? "");
    const window = left[1].endsWith("day") ? "today" : "this minute";
    const remaining = Number(left[2]).toLocaleString("en-GB");
    return `${remaining}${quota ? ` of ${Number(quota[1]).toLocaleString("en-GB")}` : ""} left ${window}`;
  };

  // Only pages of this site become links, whatever the answer says.
  const localPath = (address, prefix) => {
    try {
      const url = new URL(address, location.origin);
      return url.pathname.startsWith(prefix) ? url.pathname + url.search : null;
    } catch {
      return null;
    }
  };

  const showProblem = (element, answer, problem) => {
    element.replaceChildren();
    element.hidden = answer.ok || !problem || typeof problem.title !== "string";
    if (element.hidden) return;
    element.append(make("h3", problem.title), inline(String(problem.detail ?? "")));
    const flaws = Array.isArray(problem.errors) ? problem.errors : [];
    if (flaws.length) {
      const list = document.createElement("ul");
      for (const flaw of flaws) {
        const item = document.createElement("li");
        const words = inline(` ${flaw.message}${flaw.fix ? `: ${flaw.fix}` : ""}`);
        item.append(make("code", String(flaw.location)), ...words.childNodes);
        list.append(item);
      }
      element.append(list);
    }
    const links = make("p", "", { class: "answer-links" });
    const page = localPath(problem.type, "/docs/");
    if (page) links.append(make("a", `About ${problem.code}`, { href: page, "data-answer-about": "" }));
    const explained = localPath(problem.troubleshoot, "/troubleshoot");
    if (explained) links.append(make("a", "What went wrong with this call", { href: explained }));
    for (const next of Array.isArray(problem.next) ? problem.next : []) {
      const reference = localPath(next?.reference, "/reference/");
      if (reference) links.append(make("a", String(next.operationId), { href: reference, class: "mono" }));
    }
    if (links.childElementCount) element.append(links);
  };

  const showHeaders = (list, headers) => {
    list.replaceChildren();
    for (const name of SHOWN_HEADERS) {
      if (!headers.has(name)) continue;
      const row = document.createElement("div");
      row.append(make("dt", name), make("dd", headers.get(name)));
      list.append(row);
    }
  };

  one.showAnswer = (panel, answer) => {
    const find = (name) => panel.querySelector(`[data-answer-${name}]`);
    const data = parse(answer.text);
    panel.hidden = false;
    const status = find("status");
    status.className = `badge ${answer.ok ? "badge-good" : answer.status >= 500 ? "badge-bad" : "badge-warn"}`;
    status.textContent = `${answer.status} ${REASONS[answer.status] ?? answer.reason}`.trim();
    find("time").textContent = `${answer.milliseconds} ms`;
    find("size").textContent = size(answer);
    find("cost").textContent = cost(answer);
    showHeaders(find("headers"), answer.headers);
    showProblem(find("problem"), answer, data);
    const body = find("body");
    if (data === null) body.textContent = answer.text || "(empty)";
    else if (answer.text.length > COLOURED_MAX) body.textContent = JSON.stringify(data, null, 2);
    else one.highlight(body, JSON.stringify(data, null, 2), "json");
    if (answer.ok && data) remember(data);
    return data;
  };

  // Ids of what was just made or listed, so that the next operation's page can offer them; kept by this tab only.
  const remember = (data) => {
    const rows = Array.isArray(data.data) ? data.data : [data];
    const recent = one.recentIds();
    for (const row of rows.slice(0, 20).reverse()) {
      const id = row?._id;
      if (typeof id === "string" && /^[a-z]+_[0-9a-z]{26}$/.test(id)) recent.unshift(`${id} ${row.type ?? ""} ${row.prefix ? "key" : ""}`.trim());
    }
    try {
      sessionStorage.setItem(RECENT, JSON.stringify([...new Set(recent)].slice(0, 60)));
    } catch {
      // Not remembered, then.
    }
  };

  one.recentIds = () => {
    try {
      return JSON.parse(sessionStorage.getItem(RECENT) ?? "[]");
    } catch {
      return [];
    }
  };
})();
