// Stands for a hub: for a node's name, finds its address and rings its bell. It is told which over
// a unix socket, since it shares no network with whoever tells it.
import { createServer, request } from "node:http";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  magicDns,
  type ResolvedNode,
} from "@loom/tailscale-resolver";

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

/** @returns The HTTP status. */
const ring = ({ ip, localAddress }: ResolvedNode): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    // A connection of its own: a kept one may lead into a network that is gone.
    const way = { host: ip, port: options.port, localAddress, agent: false };
    const signal = AbortSignal.timeout(2_000);
    request({ ...way, method: "POST", path: "/bell", signal }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });

/** Resolves and rings, and says what came of it. */
async function follow(order: URLSearchParams): Promise<object> {
  try {
    const node = await resolver.resolve(order.get("node") ?? "");
    // "anywhere": as a program would call that does not bind its socket to the tailnet's address.
    const anywhere = order.has("anywhere") && { localAddress: undefined };
    return { status: await ring({ ...node, ...anywhere }), node };
  } catch (error) {
    return { code: (error as { code?: string }).code, error: String(error) };
  }
}

const server = createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? "", "http://hub");
  void follow(searchParams).then((outcome) => response.end(JSON.stringify(outcome)));
});
server.listen(options.control, () => console.log("listening"));
