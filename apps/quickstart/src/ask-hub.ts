/** The hub, and the token that it is asked with. */
export interface HubAccess {
  url: string;
  token: string;
}

/** The hub answered, and does not do what it was asked. */
export class HubRefusalError extends Error {
  override readonly name = "HubRefusalError";
  readonly status: number;
  constructor(asked: string, status: number, text: string) {
    super(`${asked}: ${status} ${text}`);
    this.status = status;
  }
}

/**
 * Makes a request of the hub's API and returns its answer.
 *
 * @param path - Below `/api/loom`.
 * @throws HubRefusalError with the hub's answer when it is no success.
 */
export async function askHub(
  { url, token }: HubAccess,
  method: "GET" | "POST",
  path: string,
  { body, signal }: { body?: object; signal?: AbortSignal } = {},
): Promise<unknown> {
  const response = await fetch(`${url}/api/loom${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body && { "content-type": "application/json" }),
    },
    ...(body && { body: JSON.stringify(body) }),
    ...(signal && { signal }),
  });
  if (response.ok) return response.json();
  throw new HubRefusalError(`${method} ${path}`, response.status, await response.text());
}
