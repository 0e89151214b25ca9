// Stands for a hub: for a node's name, finds its address and rings its bell. It is told which over
// a unix socket, since it shares no network with whoever tells it.
import { createServer } from "node:http";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  magicDns,
} from "@loom/tailscale-resolver";
import { ringDoorbell } from "@loom/worker";

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

/** Resolves and rings, and says what came of it. */
async function follow(order: URLSearchParams): Promise<object> {
  try {
    const node = await resolver.resolve(order.get("node") ?? "");
    // "anywhere": as a program would call that does not bind its socket to the tailnet's address.
    const from = order.has("anywhere") ? undefined : node.localAddress;
    const { port } = options;
    await ringDoorbell({ address: node.ip, port, from }, { ringBack: port });
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
