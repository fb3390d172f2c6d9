// The web application: one page, and the way from it to the model server.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const PAGE = new URL("public/index.html", import.meta.url);
// What the model server itself takes is limited in records; this only keeps memory bounded.
const LARGEST_BODY = 1024 * 1024;
// A model that is not in memory yet is loaded first.
const LONGEST_WAIT_MS = 120_000;
const FORWARDED = new Set(["POST /api/inference", "PATCH /api/inference"]);

/** An HTTP server that answers with the page and hands questions on to `modelServer` (a URL). */
export function create(modelServer) {
  return createServer((request, response) => {
    answer(request, response, modelServer).catch((error) => {
      console.error(error);
      if (!response.headersSent) send(response, 500, { error: "the page has a fault" });
    });
  });
}

async function answer(request, response, modelServer) {
  const route = `${request.method} ${request.url.split("?")[0]}`;
  if (route === "GET /health") return send(response, 200, { status: "ok" });
  if (route === "GET /") {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    return response.end(await readFile(PAGE));
  }
  if (!FORWARDED.has(route)) return send(response, 404, { error: "there is nothing here" });
  const body = await read(request);
  if (body === null) return send(response, 413, { error: "more than 1 MiB" });
  return forward(response, request.method, new URL("/inference", modelServer), body);
}

/** The request's body, or null when it is too large. */
async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size <= LARGEST_BODY) parts.push(part);
  }
  return size > LARGEST_BODY ? null : Buffer.concat(parts);
}

async function forward(response, method, url, body) {
  try {
    const answered = await fetch(url, {
      method,
      headers: { "content-type": "application/json" },
      body,
      signal: AbortSignal.timeout(LONGEST_WAIT_MS),
    });
    if (answered.status === 204) return response.writeHead(204).end();
    send(response, answered.status, await answered.json());
  } catch (error) {
    console.error(`model server: ${error.cause?.code ?? error.name}`);
    send(response, 502, { error: "the model server does not answer" });
  }
}

function send(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
