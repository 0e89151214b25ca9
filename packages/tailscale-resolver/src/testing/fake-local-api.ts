import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FakeLocalApi extends AsyncDisposable {
  socketPath: string;
  /** How it answers a request that passed the daemon's checks. */
  answer(response: ServerResponse): void;
  /** Requests that passed. */
  requests: IncomingMessage[];
}

/** Starts an HTTP server on a unix socket that admits requests by tailscaled's rules. */
export async function startFakeLocalApi(answer: FakeLocalApi["answer"]): Promise<FakeLocalApi> {
  const directory = await mkdtemp(join(tmpdir(), "loom-local-api-"));
  const socketPath = join(directory, "tailscaled.sock");
  const fake: FakeLocalApi = {
    socketPath,
    answer,
    requests: [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      await rm(directory, { recursive: true });
    },
  };
  const server = createServer((request, response) => {
    const { host = "", origin, referer } = request.headers;
    // tailscale ipn/localapi validHost, and its defence against browsers.
    if (!["", "local-tailscaled.sock"].includes(host) || origin !== undefined || referer) {
      response.writeHead(403).end("invalid localapi request");
    } else if (request.url !== "/localapi/v0/status") {
      response.writeHead(404).end("not found");
    } else {
      fake.requests.push(request);
      fake.answer(response);
    }
  });
  server.listen(socketPath);
  await once(server, "listening");
  return fake;
}
