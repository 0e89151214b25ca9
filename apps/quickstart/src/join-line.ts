import { z } from "zod";

const made = z.object({ line: z.string() });

/**
 * Makes a join token, and returns the line with which one machine joins: what to paste into a terminal there.
 *
 * @throws Error with the hub's answer when it makes none.
 */
export async function makeJoinLine({
  url,
  token,
}: {
  url: string;
  token: string;
}): Promise<string> {
  const response = await fetch(`${url}/api/loom/join-tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: "{}",
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return made.parse(await response.json()).line;
}
