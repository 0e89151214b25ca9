// An agent's wake server at its tailnet address. Prints who woke it, and whom tailscaled takes that for.
import { localApiSource } from "@loom/tailscale-resolver";
import { openWakeServer, type WakeAddress } from "@loom/worker";

const { address, port, socketPath } = JSON.parse(process.argv[2] ?? "") as WakeAddress & {
  socketPath: string;
};
const daemon = localApiSource({ socketPath });

async function printCaller(from: WakeAddress | undefined): Promise<void> {
  const caller = await daemon
    .whois(from ?? { address: "", port: 0 })
    .catch((error: { code?: string }) => ({ known: false, reason: error.code }));
  console.log(JSON.stringify({ from, caller }));
}

await openWakeServer({ address, port, onWake: (from) => void printCaller(from) });
console.log("listening");
