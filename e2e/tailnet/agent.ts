// An agent's doorbell, at its address in the tailnet: prints who rang, and who tailscaled says that is.
import { localApiSource } from "@loom/tailscale-resolver";
import { type BellAddress, openDoorbell } from "@loom/worker";

const { address, port, socketPath } = JSON.parse(process.argv[2] ?? "") as BellAddress & {
  socketPath: string;
};
const daemon = localApiSource({ socketPath });

async function printCaller(from: BellAddress | undefined): Promise<void> {
  const caller = await daemon
    .whois(from ?? { address: "", port: 0 })
    .catch((error: { code?: string }) => ({ known: false, reason: error.code }));
  console.log(JSON.stringify({ from, caller }));
}

await openDoorbell({ address, port, onRing: (from) => void printCaller(from) });
console.log("listening");
