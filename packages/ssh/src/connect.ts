import { connect as connectSocket, isIP, type Socket } from "node:net";
import type { Client, PublicKeyAuthMethod } from "ssh2";
import type { Command } from "./define-commands.ts";
import { ConnectError, type HostKeyError } from "./errors.ts";
import { type HostKeyRecord, type HostKeys, readHostKeys } from "./host-keys.ts";
import { loadSsh2 } from "./load-ssh2.ts";
import { type PrivateKey, readPrivateKey } from "./private-key.ts";
import { within } from "./remote-process.ts";
import { type CommandResult, type RunOptions, runCommand } from "./run-command.ts";

export interface ConnectOptions {
  /** The node's stable name. Its host key is recorded under it, and messages use it. */
  readonly node: string;
  /**
   * An IP address, or a function that finds it, such as `() => resolver.resolve("pop-os").then(({
   * ip }) => ip)`.
   */
  readonly address: string | ((options: { signal?: AbortSignal }) => string | Promise<string>);
  /** Default 22. */
  readonly port?: number;
  readonly user: string;
  /** A private key without a passphrase, which no other user can read. */
  readonly keyFile: string;
  readonly hostKeys: HostKeys;
  /** The time until commands can be run. Default 10 000. */
  readonly timeoutMs?: number;
  /**
   * How often a silent node is probed. After three probes without an answer, the connection ends.
   * Default 10 000.
   */
  readonly keepAliveMs?: number;
  readonly signal?: AbortSignal;
}

/** A connection to a node that has proved its identity. */
export interface Connection extends AsyncDisposable {
  readonly node: string;
  /**
   * Runs a command, and waits for its end. Several can run at a time.
   *
   * Timeout and abort end the command's process group on the node. The promise then settles when
   * the node has confirmed that, after at most 4 s.
   *
   * @returns The output, when the command exited with 0.
   * @throws CommandFailedError when it ended in another way.
   * @throws CommandTimeoutError when it took too long.
   * @throws CommandLostError when its end is unknown.
   * @throws CommandRefusedError when the node did not start it.
   * @throws CommandNotAllowedError when `defineCommands` did not make it.
   * @throws The reason of `signal` when that aborted.
   */
  run(command: Command, options?: RunOptions): Promise<CommandResult>;
  /** Ends the connection and the running commands. Never fails. */
  close(): Promise<void>;
}

const CLOSE_MS = 1_000;
const KEEP_ALIVES = 3;

/**
 * Connects to a node: to an IP address, with one key, and only if the host key is the recorded one.
 *
 * It resolves no name, asks and forwards no agent, and tries no password, other key or other user.
 *
 * @throws KeyError when the private key cannot be used.
 * @throws HostKeyError when the host key is unknown, has changed or was revoked.
 * @throws ConnectError when no server answers, or the node does not accept the key.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { node, user, port = 22, timeoutMs = 10_000, keepAliveMs = 10_000, signal } = options;
  signal?.throwIfAborted();
  const key = await readPrivateKey(options.keyFile);
  const record = await readHostKeys({ node, port }, options.hostKeys);
  const ssh2 = await loadSsh2();
  const address = await addressOf(options);
  signal?.throwIfAborted();

  const socket = connectSocket({ host: address, port, noDelay: true });
  const client = new ssh2.Client();
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  // Only the first error is reported: later ones have no receiver, and commands end with the
  // connection.
  let failure: Error | undefined;
  client.on("error", (error) => {
    failure ??= error;
  });
  const target = { node, user, key, record, place: `${address} port ${port}`, timeoutMs };
  try {
    await handshake({ client, socket, target, keepAliveMs, signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }

  const close = async () => {
    client.end();
    await within(CLOSE_MS, gone);
    socket.destroy();
    await gone;
  };
  return {
    node,
    run: (command, runOptions) =>
      runCommand({ node, client, socket, gone, failure: () => failure }, command, runOptions),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function addressOf({ node, address, signal }: ConnectOptions): Promise<string> {
  const ip = typeof address === "string" ? address : await address(signal ? { signal } : {});
  if (isIP(ip) !== 0) return ip;
  throw new ConnectError(
    `${JSON.stringify(ip)} is not an IP address: a name could resolve to another machine; resolve ${node} first, for example with @loom/tailscale-resolver`,
    { code: "SSH_ADDRESS", node },
  );
}

interface Target {
  readonly node: string;
  readonly user: string;
  readonly key: PrivateKey;
  readonly record: HostKeyRecord;
  readonly place: string;
  readonly timeoutMs: number;
}

interface Handshake {
  readonly client: Client;
  readonly socket: Socket;
  readonly target: Target;
  readonly keepAliveMs: number;
  readonly signal: AbortSignal | undefined;
}

function handshake({ client, socket, target, keepAliveMs, signal }: Handshake): Promise<void> {
  const { user, key, record, place, timeoutMs } = target;
  const method: PublicKeyAuthMethod = { type: "publickey", username: user, key: key.pem };
  let refusal: HostKeyError | null = null;
  return new Promise<void>((resolve, reject) => {
    const onAbort = () => reject(signal?.reason);
    const settle = (finish: () => void) => {
      signal?.removeEventListener("abort", onAbort);
      finish();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    client
      .once("ready", () => settle(resolve))
      .once("error", (error) => settle(() => reject(refusal ?? toConnectError(error, target))))
      .once("close", () =>
        settle(() => reject(refusal ?? toConnectError(new Error("it hung up"), target))),
      )
      .connect({
        sock: socket,
        username: user,
        authHandler: [method],
        hostVerifier: (shown: Buffer) => {
          refusal = record.verify(shown, place);
          return refusal === null;
        },
        algorithms: {
          kex: ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"],
          serverHostKey: [...record.algorithms],
          cipher: [
            "chacha20-poly1305@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-gcm@openssh.com",
          ],
        },
        readyTimeout: timeoutMs,
        keepaliveInterval: keepAliveMs,
        keepaliveCountMax: KEEP_ALIVES,
      });
  });
}

function toConnectError(
  cause: Error & { level?: string },
  target: Target,
): ConnectError | HostKeyError {
  const { node, user, key, place, timeoutMs } = target;
  const fail = (code: ConnectError["code"], message: string) =>
    new ConnectError(message, { code, node, cause });
  switch (cause.level) {
    case "client-authentication":
      return fail(
        "SSH_AUTH",
        `${node} does not accept the key ${key.fingerprint} for user ${user}: add this line to ~${user}/.ssh/authorized_keys there: restrict ${key.publicLine}`,
      );
    case "client-timeout":
      return fail(
        "SSH_UNREACHABLE",
        `${node} did not answer at ${place} within ${timeoutMs} ms: check that it is on and in the tailnet`,
      );
    case "client-socket":
      return fail(
        "SSH_UNREACHABLE",
        `${node} cannot be reached at ${place}: ${cause.message}; check that it is on and that its sshd listens there`,
      );
  }
  if (/no matching host key/.test(cause.message)) return target.record.noneShown(place);
  return fail("SSH_PROTOCOL", `no SSH connection to ${node} at ${place}: ${cause.message}`);
}
