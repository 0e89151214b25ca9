import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect as connectSocket, createServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { beginLine, parseLine } from "./command-line.ts";
import { type ConnectOptions, connect } from "./connect.ts";
import { defineCommands } from "./define-commands.ts";
import { type Channel, startSshServer } from "./testing/ssh-server.ts";

const { say } = defineCommands({
  say: { args: z.tuple([z.string()]), argv: (text) => ["echo", text] },
});

/** Answers as the wrapper does when a command begins. */
const begin = (line: string, channel: Channel) => {
  const nonce = parseLine(line)?.nonce ?? "";
  channel.write(beginLine(nonce));
  channel.stderr.write(beginLine(nonce));
};

/** Connects to a server that answers a command as `exec` does. */
async function open(
  exec?: (line: string, channel: Channel) => void,
  changes: Partial<ConnectOptions> = {},
) {
  const server = await startSshServer({ node: "faulty", ...(exec && { exec }) });
  onTestFinished(server.stop);
  const connection = await connect({
    node: "faulty",
    address: "127.0.0.1",
    port: server.port,
    user: "anybody",
    keyFile: server.keyFile,
    hostKeys: { fingerprints: [server.fingerprint] },
    ...changes,
  });
  onTestFinished(() => connection.close());
  return connection;
}

/** Listens on a port and calls `greet` with each connection. */
async function listen(greet: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    greet(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return { port: (server.address() as AddressInfo).port };
}

/** Starts a proxy that can go silent without closing, like a machine that loses power. */
async function silentProxy(port: number) {
  const sockets: Socket[] = [];
  const proxy = await listen((inner) => {
    const outer = connectSocket(port, "127.0.0.1").on("error", () => {});
    inner.on("close", () => outer.destroy());
    sockets.push(inner, outer);
    inner.pipe(outer).pipe(inner);
  });
  return {
    ...proxy,
    goSilent() {
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
}

describe("run, on a server that misbehaves", () => {
  test("reports an end without an exit status as unknown", async () => {
    const connection = await open((line, channel) => {
      begin(line, channel);
      channel.write("half");
      channel.end();
    });
    await expect(connection.run(say("x"))).rejects.toMatchObject({ code: "COMMAND_LOST" });
  });

  test("reports the signal that ended the command", async () => {
    const connection = await open((line, channel) => {
      begin(line, channel);
      channel.exit("SEGV");
      channel.end();
    });
    await expect(connection.run(say("x"))).rejects.toMatchObject({
      exitCode: null,
      signal: "SIGSEGV",
      message: "say failed on faulty with signal SIGSEGV",
    });
  });

  test("does not wait for ever for a channel that stays open after the exit status", async () => {
    const connection = await open((line, channel) => {
      begin(line, channel);
      channel.write("done");
      channel.exit(0);
    });
    expect(await connection.run(say("x"))).toMatchObject({ stdout: "done" });
  });

  test("reports that the node did not confirm the end of a command that goes on", {
    timeout: 10_000,
  }, async () => {
    const connection = await open((_line, channel) => void channel.resume());
    const begun = performance.now();
    await expect(connection.run(say("x"), { timeoutMs: 50 })).rejects.toMatchObject({
      code: "COMMAND_TIMEOUT",
      stopped: false,
      message: expect.stringContaining("may still run"),
    });
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  test("joins characters that the network split", async () => {
    const [first, second] = [Buffer.from("é").subarray(0, 1), Buffer.from("é").subarray(1)];
    const connection = await open((line, channel) => {
      begin(line, channel);
      channel.write(first, () => {
        channel.write(second);
        channel.exit(0);
        channel.end();
      });
    });
    const texts: string[] = [];
    await connection.run(say("x"), { onOutput: ({ text }) => texts.push(text) });
    expect(texts.join("")).toBe("é");
  });

  test("notices a node that went silent", async () => {
    const server = await startSshServer({ node: "faulty", exec: () => {} });
    onTestFinished(server.stop);
    const proxy = await silentProxy(server.port);
    const connection = await connect({
      node: "faulty",
      address: "127.0.0.1",
      port: proxy.port,
      user: "anybody",
      keyFile: server.keyFile,
      hostKeys: { knownHosts: server.knownHosts },
      keepAliveMs: 50,
    });
    const run = connection.run(say("x"));
    proxy.goSilent();
    await expect(run).rejects.toMatchObject({
      code: "COMMAND_LOST",
      cause: expect.objectContaining({ message: "Keepalive timeout" }),
    });
    await connection.close();
  });
});

describe("connect, to a server that is not a node", () => {
  test.for<[string, (socket: Socket) => void, string]>([
    ["is silent", () => {}, "SSH_UNREACHABLE"],
    ["hangs up", (socket) => socket.end(), "SSH_PROTOCOL"],
    ["speaks HTTP", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"), "SSH_PROTOCOL"],
  ])("reports a server that %s", async ([, greet, code]) => {
    const { port } = await listen(greet);
    await expect(open(undefined, { port, timeoutMs: 200 })).rejects.toMatchObject({ code });
  });

  test("reports that no server listens", async () => {
    const { port } = await listen(() => {});
    const closed = createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const free = (closed.address() as AddressInfo).port;
    closed.close();
    await once(closed, "close");
    expect(free).not.toBe(port);
    await expect(open(undefined, { port: free })).rejects.toMatchObject({
      code: "SSH_UNREACHABLE",
    });
  });

  test("can be aborted", async () => {
    const greeted = Promise.withResolvers<void>();
    const { port } = await listen(() => greeted.resolve());
    const controller = new AbortController();
    const opening = expect(open(undefined, { port, signal: controller.signal })).rejects.toThrow(
      "not any more",
    );
    await greeted.promise;
    controller.abort(new Error("not any more"));
    await opening;
  });

  test.for(["pop-os", "localhost", "", "127.0.0.1; id", "-oProxyCommand=id"])(
    "resolves no name: %j",
    async (address) => {
      await expect(open(undefined, { address: () => address })).rejects.toMatchObject({
        code: "SSH_ADDRESS",
      });
    },
  );
});
