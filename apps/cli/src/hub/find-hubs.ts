import { localApiSource } from "@loom/tailscale-resolver";

/** How long a machine may take to say that it is a hub. */
const ANSWER_MS = 1_500;
const PORT = 3_000;

/**
 * Looks for hubs on the machines of the tailnet that are online. It asks `/healthz` alone, which needs
 * no token.
 */
export async function findHubs(): Promise<{ urls: string[]; problem?: string }> {
  try {
    const { self, peers, via } = await localApiSource().read();
    if (via !== "direct") return { urls: [], problem: "Tailscale runs without a network device" };
    const machines = [...(self ? [self] : []), ...peers.filter(({ online }) => online)];
    const urls = machines.map(({ fqdn, ip }) => `http://${fqdn || ip}:${PORT}`);
    const answers = await Promise.all(urls.map(isHub));
    return { urls: urls.filter((_, at) => answers[at]) };
  } catch {
    return { urls: [], problem: "Tailscale does not answer on this machine" };
  }
}

async function isHub(url: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(`${url}/healthz`, { redirect: "manual", signal });
    const body = (await answer.json()) as { status?: unknown };
    return answer.ok && body.status === "ok";
  } catch {
    return false;
  }
}
