import type { Tailnet } from "../doctor/facts.ts";
import type { Mesh } from "./mesh.ts";

/** What takes longer is as good as no answer to who waits for one. */
const TIMEOUT_MS = 3_000;

/** The machines of the tailnet, or why they cannot be known. */
export async function readTailnet(mesh: Mesh | undefined): Promise<Tailnet> {
  if (!mesh) return { isKnown: false, reason: "this hub does not ask Tailscale" };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const [self, peers] = await Promise.all([mesh.self({ signal }), mesh.peers({ signal })]);
    return { isKnown: true, self, peers };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { isKnown: false, reason: `Tailscale on the hub's machine does not answer: ${said}` };
  }
}
