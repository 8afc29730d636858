// The JSON API of the box: one function a method, one type of error with the server's own line.

import { text } from "./text.js";

export class ApiError extends Error {
  /** status: 0 where the box did not answer at all. */
  constructor(status, line, body = {}) {
    super(line);
    this.status = status;
    this.body = body;
  }
}

/** Called where the server wants a token; set by main.js. */
export const access = { refused: () => {} };

async function ask(method, path, { json, signal } = {}) {
  const response = await answer(path, {
    method,
    signal,
    headers: json === undefined ? {} : { "Content-Type": "application/json" },
    body: json === undefined ? undefined : JSON.stringify(json),
  });
  return response.status === 204 ? null : response.json();
}

async function answer(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, text("error.unreachable"));
  }
  if (!response.ok) throw refusal(response.status, await response.json().catch(() => ({})));
  return response;
}

function refusal(status, body) {
  if (status === 401) access.refused();
  const line = typeof body.error === "string" ? body.error : text("error.status", { status: String(status) });
  return new ApiError(status, line, body);
}

/** What a path holds, as it is. */
export const file = async (path) => (await answer(path, {})).blob();

export const get = (path, signal) => ask("GET", path, { signal });
export const post = (path, json = {}) => ask("POST", path, { json });
export const put = (path, json) => ask("PUT", path, { json });
export const remove = (path) => ask("DELETE", path);

/** A path of the API about one job. */
export const jobPath = (job, rest = "") => `/api/jobs/${encodeURIComponent(job)}${rest}`;

/** PATCH raw bytes at an offset. `progress(sent)` is told bytes as they leave; returns the body. */
export function patch(path, blob, offset, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch tells nothing of bytes that were sent
    const stop = () => request.abort();
    signal.addEventListener("abort", stop, { once: true });
    request.open("PATCH", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Upload-Offset", String(offset));
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onloadend = () => {
      signal.removeEventListener("abort", stop);
      if (signal.aborted) return reject(signal.reason);
      if (request.status === 0) return reject(new ApiError(0, text("error.unreachable")));
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // an error page of something between the browser and the box
      }
      if (request.status >= 400) return reject(refusal(request.status, body));
      return resolve(body);
    };
    request.send(blob);
  });
}
