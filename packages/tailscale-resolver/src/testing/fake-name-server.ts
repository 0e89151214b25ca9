import { createSocket } from "node:dgram";
import { once } from "node:events";

/** An address, an answer without one, or silence. */
export type NameAnswer = string | "NXDOMAIN" | "NODATA" | "SERVFAIL" | "SILENCE";

export interface FakeNameServer extends AsyncDisposable {
  /** Address and port, as `magicDns` takes them. */
  server: string;
  /** The requested names, in order. */
  asked: string[];
}

/** DNS response codes: RFC 1035 section 4.1.1. */
const codes = { NODATA: 0, SERVFAIL: 2, NXDOMAIN: 3 } as const;

/**
 * Starts a name server like tailscaled's. It has one A record for each full name, and answers
 * SERVFAIL for every name that it would have to ask others for, including bare labels.
 */
export async function startFakeNameServer(
  names: Record<string, NameAnswer>,
  { address = "127.0.0.1", port = 0 }: { address?: string; port?: number } = {},
): Promise<FakeNameServer> {
  const asked: string[] = [];
  const socket = createSocket("udp4", (query, { port, address }) => {
    const name = nameIn(query);
    asked.push(name);
    const answer = names[name] ?? "SERVFAIL";
    if (answer !== "SILENCE") socket.send(respond(query, answer), port, address);
  });
  socket.bind(port, address);
  await once(socket, "listening");
  return {
    server: `${address}:${socket.address().port}`,
    asked,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

const HEADER = 12;

/**
 * Returns the name of the first question. A label is its length and its bytes; an empty label is
 * the end.
 */
function nameIn(query: Buffer): string {
  const labels: string[] = [];
  for (let at = HEADER; query.readUInt8(at) > 0; at += 1 + query.readUInt8(at)) {
    labels.push(query.toString("latin1", at + 1, at + 1 + query.readUInt8(at)));
  }
  return labels.join(".").toLowerCase();
}

function respond(query: Buffer, answer: Exclude<NameAnswer, "SILENCE">): Buffer {
  const question = query.subarray(HEADER, query.indexOf(0, HEADER) + 5);
  const code = answer in codes ? codes[answer as keyof typeof codes] : undefined;
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(query.readUInt16BE(0), 0);
  header.writeUInt16BE(0x8580 | (code ?? 0), 2); // a response, authoritative, recursion available
  header.writeUInt16BE(1, 4);
  if (code !== undefined) return Buffer.concat([header, question]);
  header.writeUInt16BE(1, 6);
  const octets = answer.split(".").map(Number);
  // The name of the question; type A, class IN, 5 seconds, 4 bytes.
  const record = Buffer.from([0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...octets]);
  return Buffer.concat([header, question, record]);
}
