import { z } from "zod";

/** The hub, and the token that it is asked with. */
export interface HubAccess {
  url: string;
  token: string;
}

const made = z.object({ token: z.string(), line: z.string() });

/**
 * Makes a token with which one machine joins.
 *
 * @param request - The name that it joins under and what it may offer, where the hub is not to leave that open.
 * @returns The token, and the line to paste into a terminal of that machine.
 * @throws Error with the hub's answer when it makes none.
 */
export async function makeJoinToken(
  hub: HubAccess,
  request: { node?: string; mayOffer?: readonly string[] } = {},
): Promise<{ token: string; line: string }> {
  return made.parse(await post(hub, "/api/loom/join-tokens", request));
}

/** Posts a request to the hub and returns its answer. */
export async function post(
  { url, token }: HubAccess,
  path: string,
  body: object,
): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}
