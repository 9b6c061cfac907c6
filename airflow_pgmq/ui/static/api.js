// The page's API: JSON, one error type, and Airflow's sign-in when the session has ended.
import { BASE } from "./address.js";
import { signedOut } from "./host.js";
import { t } from "./language.js";

class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const api = (...parts) => `api/${parts.map(encodeURIComponent).join("/")}`;

export function get(path, params = {}, signal) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return call(url, { signal });
}

export function post(path, body = {}, signal) {
  const headers = { "Content-Type": "application/json", "X-Pgmq-Request": "1" };
  return call(new URL(path, BASE), { method: "POST", headers, body: JSON.stringify(body), signal });
}

async function call(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, t("Airflow's API server does not answer."));
  }
  if (response.status === 401) signedOut();
  const answer = parsed(await response.text());
  if (!response.ok)
    throw new ApiError(response.status, answer?.detail ?? t("Airflow answered {status}.", { status: String(response.status) }));
  return answer;
}

// An integer that a double cannot hold keeps all digits, if the browser has JSON.rawJSON.
export function parse(text) {
  const digits = (key, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source && JSON.rawJSON
      ? JSON.rawJSON(context.source)
      : value;
  return JSON.parse(text, digits);
}

function parsed(body) {
  try {
    return parse(body);
  } catch {
    return null;
  }
}
