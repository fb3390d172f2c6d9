// The figures of the last megabytes of the cache's own logs; `./lab cache` counts the same way.
"use strict";

const TAIL = 8 * 1024 * 1024;
const FROM_CACHE = new Set(["HIT", "STALE", "UPDATING", "REVALIDATED"]);

async function read(url, options) {
  const response = await fetch(url, { cache: "no-store", ...options });
  if (response.status === 404 || response.status === 416) return null;
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
}

async function lines(name) {
  const response = await read(`/-/logs/${name}.json`, { headers: { Range: `bytes=-${TAIL}` } });
  if (response === null) return [];
  const text = await response.text();
  const rows = text.split("\n").slice(text.length >= TAIL ? 1 : 0);
  return rows.filter(Boolean).map((row) => JSON.parse(row));
}

async function json(url) {
  const response = await read(url);
  return response === null ? null : response.json();
}

function upstreamOf(uri, upstreams) {
  const parts = uri.split("/");
  const registry = upstreams.find((u) => u.registry && parts[1] === "v2" && parts[2] === u.registry);
  return registry ? registry.name : parts[1];
}

function count(upstreams, access, fetched, usage) {
  const since = [access, fetched].map((rows) => (rows.length ? rows[0].time : "")).sort().pop();
  const table = new Map(
    upstreams.map((u) => [u.name, { ...u, requests: 0, hits: 0, sent: 0, fetched: 0, errors: 0 }]),
  );
  const files = new Map();
  for (const row of access.filter((entry) => entry.time >= since)) {
    const name = upstreamOf(row.uri, upstreams);
    const entry = table.get(name);
    if (!entry) continue;
    entry.requests += 1;
    entry.sent += row.bytes;
    if (FROM_CACHE.has(row.cache)) entry.hits += 1;
    if (row.status >= 500) entry.errors += 1;
    const file = decodeURIComponent(row.uri.split("?")[0].split("/").pop());
    if (!file || row.status >= 400) continue;
    const seen = files.get(`${name}/${file}`) ?? { file, name, requests: 0, sent: 0 };
    seen.requests += 1;
    seen.sent += row.bytes;
    files.set(`${name}/${file}`, seen);
  }
  for (const row of fetched.filter((entry) => entry.time >= since)) {
    const entry = table.get(upstreamOf(row.uri, upstreams));
    if (entry) entry.fetched += row.bytes;
  }
  for (const entry of table.values()) {
    entry.saved = entry.kind === "oci" ? null : Math.max(0, entry.sent - entry.fetched);
    entry.stored = entry.kind === "oci" ? null : (usage?.packages[entry.name]?.bytes ?? 0);
  }
  const top = [...files.values()].sort((a, b) => b.requests - a.requests || b.sent - a.sent);
  return { since, rows: [...table.values()], top: top.slice(0, 15) };
}

function size(bytes) {
  if (bytes === null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${bytes.toFixed(unit && bytes < 100 ? 1 : 0)} ${units[unit]}`;
}

const share = (part, whole) => (whole ? `${Math.round((100 * part) / whole)} %` : "–");

function fill(id, rows, firstNumber) {
  const body = document.querySelector(`#${id} tbody`);
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      cells.forEach((text, index) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        if (index >= firstNumber) cell.className = "number";
        row.append(cell);
      });
      return row;
    }),
  );
  document.querySelectorAll(`#${id} th`).forEach((cell, index) => {
    if (index >= firstNumber) cell.className = "number";
  });
}

async function show() {
  const [upstreams, access, fetched, usage] = await Promise.all([
    json("/-/www/upstreams.json"),
    lines("requests"),
    lines("fetch"),
    json("/-/logs/usage.json"),
  ]);
  const { since, rows, top } = count(upstreams, access, fetched, usage);
  const sum = (field) => rows.reduce((total, row) => total + (row[field] ?? 0), 0);
  const parts = [
    `${sum("requests")} requests`,
    `${share(sum("hits"), sum("requests"))} from the cache`,
    `${size(sum("saved"))} not fetched again`,
  ];
  if (usage) {
    parts.push(`${size(sum("stored"))} stored`, `${size(usage.disk.free)} of the disk free`);
  }
  const begun = since ? `Since ${since.slice(0, 16).replace("T", " ")}: ` : "";
  document.getElementById("summary").textContent = `${begun}${parts.join(", ")}.`;
  fill(
    "upstreams",
    rows.map((row) => [
      row.name, row.kind, row.url, String(row.requests), share(row.hits, row.requests),
      size(row.sent), size(row.kind === "oci" ? null : row.fetched), size(row.saved),
      size(row.stored), String(row.errors),
    ]),
    3,
  );
  fill("top", top.map((row) => [row.file, row.name, String(row.requests), size(row.sent)]), 2);
}

show().catch((error) => {
  const summary = document.getElementById("summary");
  summary.textContent = `The figures cannot be shown: ${error.message}`;
  summary.className = "bad";
});
