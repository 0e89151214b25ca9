// Stands in for the name server of tailscaled, at the address where every machine has it.
import { startFakeNameServer } from "@loom/tailscale-resolver/testing";

const names = JSON.parse(process.argv[2] ?? "") as Record<string, string>;
await startFakeNameServer(names, { address: "100.100.100.100", port: 53 });
console.log("listening");
