// The request of Try it as a program: the same in six languages, as the samples of the documentation are written.
(() => {
  "use strict";
  const indent = (text, by) => text.replaceAll("\n", `\n${by}`);
  const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const quoted = (text) => JSON.stringify(text);
  const rubyQuoted = (text) => quoted(text).replaceAll("#", "\\#");
  const phpQuoted = (text) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const goQuoted = (text) => (text.includes("`") ? quoted(text) : `\`${text}\``);

  const curl = ({ method, address, headers, body, file }) => {
    const start = method === "GET" ? "curl" : `curl -X ${method}`;
    const lines = [`${start} ${/[?&'* ]/.test(address) ? shell(address) : address}`, '  -H "Authorization: Bearer $ONE_API_KEY"'];
    for (const [name, value] of headers) lines.push(`  -H ${shell(`${name}: ${value}`)}`);
    if (body !== undefined) lines.push(`  -d ${indent(shell(body), "  ")}`);
    if (file) lines.push(`  --data-binary ${/[^\w.-]/.test(file) ? shell(`@${file}`) : `@${file}`}`);
    return lines.join(" \\\n");
  };

  const python = ({ method, address, headers, body, file }) => {
    const lines = ["import os", "", "import httpx", "", "response = httpx.request(", `    ${quoted(method)},`, `    ${quoted(address)},`, "    headers={"];
    lines.push(`        "Authorization": f"Bearer {os.environ['ONE_API_KEY']}",`);
    for (const [name, value] of headers) lines.push(`        ${quoted(name)}: ${quoted(value)},`);
    lines.push("    },");
    if (body !== undefined) lines.push(`    content=${body.includes('"""') || body.includes("\\") ? quoted(body) : `"""${body}"""`},`);
    if (file) {
      lines.splice(1, 0, "from pathlib import Path");
      lines.push(`    content=Path(${quoted(file)}).read_bytes(),`);
    }
    return [...lines, ")", "response.raise_for_status()", "print(response.text)"].join("\n");
  };

  const javascript = ({ method, address, headers, body, file }) => {
    const start = file ? ['import { readFile } from "node:fs/promises";', ""] : [];
    const lines = [...start, `const response = await fetch(${quoted(address)}, {`, `  method: ${quoted(method)},`, "  headers: {"];
    lines.push("    Authorization: `Bearer ${process.env.ONE_API_KEY}`,");
    for (const [name, value] of headers) lines.push(`    ${quoted(name)}: ${quoted(value)},`);
    lines.push("  },");
    if (body !== undefined) lines.push(`  body: ${/[`\\]|\$\{/.test(body) ? quoted(body) : `\`${body}\``},`);
    if (file) lines.push(`  body: await readFile(${quoted(file)}),`);
    return [...lines, "});", "if (!response.ok) throw new Error(await response.text());", "console.log(await response.text());"].join("\n");
  };

  const go = ({ method, address, headers, body, file }) => {
    const payload = file ? "file" : body === undefined ? "nil" : `strings.NewReader(${goQuoted(body)})`;
    const start = file ? [`file, err := os.Open(${quoted(file)})`, "if err != nil {", "\tlog.Fatal(err)", "}", "defer file.Close()"] : [];
    const lines = [...start, `request, err := http.NewRequest(${quoted(method)}, ${quoted(address)}, ${payload})`, "if err != nil {", "\tlog.Fatal(err)", "}"];
    lines.push('request.Header.Set("Authorization", "Bearer "+os.Getenv("ONE_API_KEY"))');
    for (const [name, value] of headers) lines.push(`request.Header.Set(${quoted(name)}, ${quoted(value)})`);
    lines.push("response, err := http.DefaultClient.Do(request)", "if err != nil {", "\tlog.Fatal(err)", "}");
    return [...lines, "defer response.Body.Close()", "answer, err := io.ReadAll(response.Body)", "fmt.Println(response.Status, string(answer), err)"].join("\n");
  };

  const ruby = ({ method, address, headers, body, file }) => {
    const kind = method[0] + method.slice(1).toLowerCase();
    const lines = ['require "net/http"', "", `uri = URI(${rubyQuoted(address)})`, `request = Net::HTTP::${kind}.new(uri)`];
    lines.push('request["Authorization"] = "Bearer #{ENV.fetch("ONE_API_KEY")}"');
    for (const [name, value] of headers) lines.push(`request[${rubyQuoted(name)}] = ${rubyQuoted(value)}`);
    if (body !== undefined) lines.push("request.body = <<~'JSON'", indent(`  ${body}`, "  "), "JSON");
    if (file) lines.push(`request.body = File.binread(${rubyQuoted(file)})`);
    lines.push('response = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https") { |http| http.request(request) }');
    return [...lines, "puts response.code, response.body"].join("\n");
  };

  const php = ({ method, address, headers, body, file }) => {
    const lines = ["<?php", `$curl = curl_init(${phpQuoted(address)});`, "curl_setopt_array($curl, [", "    CURLOPT_RETURNTRANSFER => true,", `    CURLOPT_CUSTOMREQUEST => ${phpQuoted(method)},`, "    CURLOPT_HTTPHEADER => ["];
    lines.push('        "Authorization: Bearer " . getenv("ONE_API_KEY"),');
    for (const [name, value] of headers) lines.push(`        ${phpQuoted(`${name}: ${value}`)},`);
    lines.push("    ],");
    if (body !== undefined) lines.push(`    CURLOPT_POSTFIELDS => ${phpQuoted(body)},`);
    if (file) lines.push(`    CURLOPT_POSTFIELDS => file_get_contents(${phpQuoted(file)}),`);
    return [...lines, "]);", "echo curl_exec($curl), PHP_EOL;"].join("\n");
  };

  const languages = { curl, Python: python, JavaScript: javascript, Go: go, Ruby: ruby, PHP: php };

  // `request` has method, address, headers as pairs, and a body, the name of a file that is the body, or neither.
  one.writeSample = (language, request) => (languages[language] ?? curl)(request);
})();
