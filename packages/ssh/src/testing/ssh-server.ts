import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Duplex, Writable } from "node:stream";
import ssh2 from "ssh2";
import { type Credentials, makeCredentials, readHostKey } from "./credentials.ts";

/** The server's side of a command. Data that is written to it is the command's stdout. */
export interface Channel extends Duplex {
  readonly stderr: Writable;
  /** Reports the exit code, or the signal (without `SIG`), that ended the command. */
  exit(codeOrSignal: number | string): unknown;
}

/** An SSH server inside this process. */
export interface SshServer extends Credentials, AsyncDisposable {
  readonly node: string;
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Starts ssh2's own server on the loopback address. It accepts every client with the key, and runs
 * each line with `sh -c` in a new process group, unless `exec` replaces that.
 */
export async function startSshServer({
  node = "node",
  exec = runInShell,
}: {
  node?: string;
  exec?: (line: string, channel: Channel) => void;
} = {}): Promise<SshServer> {
  const credentials = await makeCredentials(node);
  const [, wanted] = credentials.publicLine.split(" ");
  const clients = new Set<ssh2.Connection>();
  const server = new ssh2.Server({ hostKeys: [await readHostKey(credentials)] }, (client) => {
    clients.add(client);
    client
      .on("error", () => {})
      .on("close", () => clients.delete(client))
      .on("authentication", (context) => {
        const known =
          context.method === "publickey" && context.key.data.toString("base64") === wanted;
        if (known) context.accept();
        else context.reject(["publickey"]);
      })
      .on("session", (accept) =>
        accept().on("exec", (acceptExec, _reject, { command }) => exec(command, acceptExec())),
      );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = async () => {
    for (const client of clients) client.end();
    server.close();
    await once(server, "close");
    await credentials.remove();
  };
  return {
    ...credentials,
    node,
    port: (server.address() as AddressInfo).port,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function runInShell(line: string, channel: Channel): void {
  const child = spawn("/bin/sh", ["-c", line], { detached: true });
  channel.pipe(child.stdin);
  child.stdin.on("error", () => {});
  child.stdout.pipe(channel, { end: false });
  child.stderr.pipe(channel.stderr, { end: false });
  child.once("close", (code, signal) => {
    if (code !== null) channel.exit(code);
    else channel.exit(String(signal).replace("SIG", ""));
    channel.end();
  });
}
