import { once } from "node:events";
import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";
import type { Random } from "./random.ts";

/**
 * A fault of one exchange, which is a request and its answer.
 *
 * - `lose-request`: the request never reaches the server.
 * - `lose-answer`: the server has committed and answered, but the client does not get the answer.
 * - `reset`: both connections are closed a moment after the request was sent.
 * - `delay`: the request arrives late, even if the client has gone meanwhile.
 * - `black-hole`: the connection is half-open; from some point on nothing gets through.
 * - `replay`: the exchange succeeds, and later the same request arrives again (HTTP only).
 */
export type LinkFault =
  | "lose-request"
  | "lose-answer"
  | "reset"
  | "delay"
  | "black-hole"
  | "replay";

/** Chooses the fault of the next exchange, if any. */
export type Weather = () => LinkFault | undefined;

export interface FaultProxy {
  /** The port on 127.0.0.1, or 0 for a unix socket. */
  readonly port: number;
  readonly counts: Readonly<Record<LinkFault, number>>;
  setWeather(weather: Weather): void;
  /** True when no delayed or replayed request is still to come. */
  isQuiet(): boolean;
  /** Drops every connection and refuses new ones until `restore`. */
  cut(): void;
  restore(): void;
  stop(): Promise<void>;
}

export interface FaultProxyOptions {
  readonly upstream: NetConnectOpts;
  /** Decides when an exchange ends: HTTP with the first byte of the answer, Postgres with the transaction. */
  readonly protocol: "http" | "postgres";
  /** The unix socket to listen on. Default: a free port of 127.0.0.1. */
  readonly path?: string;
  readonly random: Random;
  /** Called with a replayed request and its answer. */
  readonly onReplay?: (request: string, answer: string) => void;
}

const HOLE_MS = 6_000;
/** ReadyForQuery outside of a transaction: whatever was open has been committed. */
const IDLE = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** Starts a TCP proxy between clients and one server that injects the faults that its weather chooses. */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const { upstream, protocol, path, random, onReplay } = options;
  const counts = {
    "lose-request": 0,
    "lose-answer": 0,
    reset: 0,
    delay: 0,
    "black-hole": 0,
    replay: 0,
  };
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  let weather: Weather = () => undefined;
  let isCut = false;

  const own = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    return socket.setNoDelay(true);
  };
  const later = (ms: number, callback: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      callback();
    }, ms);
    timers.add(timer);
  };

  function replay(request: Buffer): void {
    const server = own(connect(upstream));
    const answer: Buffer[] = [];
    server.on("data", (chunk) => answer.push(chunk));
    server.write(request);
    // The server keeps the connection open, so the answer is whatever has arrived by then.
    later(1_500, () => server.destroy());
    server.on("close", () => {
      onReplay?.(request.toString("latin1"), Buffer.concat(answer).toString("latin1"));
    });
  }

  function link(client: Socket): void {
    const server = own(connect(upstream));
    const destroy = () => {
      client.destroy();
      server.destroy();
    };
    let request: Buffer[] = [];
    let tail = Buffer.alloc(0);
    let fault: LinkFault | undefined;
    let passes = Number.POSITIVE_INFINITY;
    let delayMs = 0;
    // A later chunk never overtakes a delayed one.
    let sent = Promise.resolve();
    const send = (chunk: Buffer) => {
      const waitMs = delayMs;
      delayMs = 0;
      sent = sent.then(async () => {
        if (waitMs > 0) await new Promise<void>((resolve) => later(waitMs, resolve));
        server.write(chunk);
      });
    };
    // A Postgres connection begins with a handshake, which is no transaction.
    let isOver = protocol === "http";

    const begin = () => {
      isOver = false;
      request = [];
      passes = Number.POSITIVE_INFINITY;
      delayMs = 0;
      fault = weather();
      if (fault !== undefined && fault !== "lose-answer") counts[fault] += 1;
      if (fault === "delay") delayMs = random.int(50, random.chance(0.2) ? 4_000 : 800);
      if (fault === "reset") later(random.int(0, 20), destroy);
      if (fault === "black-hole") {
        passes = random.int(0, protocol === "http" ? 2 : 4);
        later(HOLE_MS, destroy);
      }
    };
    client.on("data", (chunk) => {
      if (isOver) begin();
      request.push(chunk);
      passes -= 1;
      if (fault === "lose-request") destroy();
      else if (passes >= 0) send(chunk);
    });
    server.on("data", (chunk) => {
      tail = Buffer.concat([tail, chunk]).subarray(-IDLE.length);
      const isAnswered = protocol === "http" || tail.equals(IDLE);
      passes -= 1;
      if (isAnswered && !isOver) {
        isOver = passes >= 0;
        if (fault === "lose-answer") {
          counts["lose-answer"] += 1;
          destroy();
        } else if (fault === "replay") {
          const copy = Buffer.concat(request);
          later(random.int(300, 12_000), () => replay(copy));
        }
      }
      if (client.destroyed) server.destroy();
      else if (passes >= 0) client.write(chunk);
    });
    // A request that is delayed on purpose still arrives.
    client.on("close", () => {
      if (fault === "delay" && !isOver) void sent.then(() => later(2_000, () => server.destroy()));
      else server.destroy();
    });
    server.on("close", () => client.destroy());
  }

  const listener = createServer((client) => {
    own(client);
    if (isCut) client.destroy();
    else link(client);
  });
  listener.listen(path === undefined ? { host: "127.0.0.1", port: 0 } : { path });
  await once(listener, "listening");
  const address = listener.address();

  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    counts,
    setWeather(next) {
      weather = next;
    },
    isQuiet: () => timers.size === 0,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    restore() {
      isCut = false;
    },
    async stop() {
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
}
