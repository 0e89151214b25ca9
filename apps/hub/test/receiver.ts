import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";

/** A message as its target received it. */
interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}

/** A target on this machine, which keeps what it receives and answers as it is given. */
export async function startReceiver(
  answer: (response: ServerResponse) => void = (response) => response.writeHead(200).end("ok"),
) {
  const received: Received[] = [];
  let check = () => {};
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ headers: request.headers, body });
      check();
      answer(response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    /** Waits until so many messages have come. */
    has: (count: number) =>
      new Promise<void>((resolve) => {
        check = () => {
          if (received.length >= count) resolve();
        };
        check();
      }),
  };
}
