// Stands in for a hub: finds the address of a node and wakes it. The test sends the node's name over a unix
// socket, because the two share no network.
import { createServer } from "node:http";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  magicDns,
} from "@loom/tailscale-resolver";
import { sendWakeUp } from "@loom/worker";

const options = JSON.parse(process.argv[2] ?? "") as {
  control: string;
  socketPath: string;
  port: number;
};
const resolver = createResolver({
  source: firstOf([
    localApiSource({ socketPath: options.socketPath }),
    cliSource({ command: "/nonexistent/tailscale" }),
  ]),
  nameServer: magicDns(),
  ttlMs: 0,
});

/** Resolves and wakes, and says what came of it. */
async function follow(order: URLSearchParams): Promise<object> {
  try {
    const node = await resolver.resolve(order.get("node") ?? "");
    // "anywhere": as a program would call that does not bind its socket to the tailnet's address.
    const from = order.has("anywhere") ? undefined : node.localAddress;
    const { port } = options;
    await sendWakeUp({ address: node.ip, port, from }, { replyPort: port });
    return { heard: true, node };
  } catch (error) {
    return { code: (error as { code?: string }).code, error: String(error) };
  }
}

const server = createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? "", "http://hub");
  void follow(searchParams).then((outcome) => response.end(JSON.stringify(outcome)));
});
server.listen(options.control, () => console.log("listening"));
