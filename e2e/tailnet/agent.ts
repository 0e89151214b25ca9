// Stands for an agent: answers `POST /bell` with 204 and nothing else, and prints who rang.
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { localApiSource } from "@loom/tailscale-resolver";

const { port, socketPath } = JSON.parse(process.argv[2] ?? "") as {
  port: number;
  socketPath: string;
};
const daemon = localApiSource({ socketPath });

async function printCaller({ remoteAddress = "", remotePort = 0 }: Socket): Promise<void> {
  const caller = await daemon
    .whois({ address: remoteAddress, port: remotePort })
    .catch((error: { code?: string }) => ({ known: false, reason: error.code }));
  console.log(JSON.stringify({ remoteAddress, caller }));
}

const server = createServer((request, response) => {
  response.writeHead(request.method === "POST" && request.url === "/bell" ? 204 : 404).end();
  void printCaller(request.socket);
});
// Every address of both families: an IPv4 caller then appears mapped into IPv6.
server.listen(port, "::", () => console.log("listening"));
