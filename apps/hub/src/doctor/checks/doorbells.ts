import type { Check } from "../check.ts";

/** Every doorbell answers. One that does not costs time, and nothing else: its node looks by itself. */
export const doorbells: Check = {
  name: "doorbells",
  examine: ({ rings }) => {
    if (rings === null) return { skipped: "this hub rings no doorbells" };
    const heard: string[] = [];
    const findings = rings.flatMap(({ node, port, ring }) => {
      if (ring.heard) {
        heard.push(`${node} in ${Math.ceil(ring.ms)} ms`);
        return [];
      }
      return [
        {
          status: "warn" as const,
          subject: node,
          evidence: `its doorbell did not answer, so it finds work only when it looks by itself: ${ring.reason}`,
          fix: `let the hub reach port ${port} of ${node}, in the tailnet's policy and in its firewall`,
        },
      ];
    });
    const ok = heard.length === 0 ? "no node has a doorbell" : `rung: ${heard.join(", ")}`;
    return { ok, findings };
  },
};
