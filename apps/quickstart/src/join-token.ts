import { z } from "zod";
import { askHub, type HubAccess } from "./ask-hub.ts";

const made = z.object({ token: z.string(), line: z.string() });

/**
 * Makes a token with which one machine joins.
 *
 * @param request - The name that it joins under and what it may offer, where the hub is not to leave that open.
 * @returns The token, and the line to paste into a terminal of that machine.
 * @throws HubRefusalError
 */
export async function makeJoinToken(
  hub: HubAccess,
  request: { node?: string; mayOffer?: readonly string[] } = {},
): Promise<{ token: string; line: string }> {
  return made.parse(await askHub(hub, "POST", "/join-tokens", { body: request }));
}
