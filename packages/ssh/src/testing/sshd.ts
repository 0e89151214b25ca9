import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { userInfo } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { type Credentials, makeCredentials } from "./credentials.ts";

const SSHD = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/opt/homebrew/sbin/sshd"].find((file) =>
  existsSync(file),
);

/** Returns the reason why no OpenSSH server can be started on this machine; `null` when one can. */
export const whySshdIsMissing = (): string | null =>
  SSHD === undefined ? "there is no sshd on this machine: install openssh-server" : null;

export interface SshdOptions {
  readonly node?: string;
  /** Options before the key in `authorized_keys`, such as `restrict`. */
  readonly keyOptions?: string;
  /** Variables for the commands. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Further settings, as in sshd_config. */
  readonly settings?: readonly string[];
}

/** An OpenSSH server on the loopback address, for the current user. */
export interface Sshd extends Credentials, AsyncDisposable {
  readonly node: string;
  readonly port: number;
  readonly user: string;
  /** Returns the server's log so far. */
  log(): string;
  stop(): Promise<void>;
}

/**
 * Starts the machine's sshd on a free port with new keys.
 *
 * @throws Error when there is no sshd, or it does not start.
 */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const { node = "node", keyOptions = "", environment = {}, settings = [] } = options;
  if (SSHD === undefined) throw new Error(whySshdIsMissing() ?? "");
  const credentials = await makeCredentials(node);
  const authorizedKeys = path.join(credentials.folder, "authorized_keys");
  await writeFile(authorizedKeys, `${keyOptions} ${credentials.publicLine}\n`.trimStart());
  // sshd drops its privileges in this folder. Packages create it when the service starts.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true });

  // An empty home, so that the start files of the user's shell have no effect on tests.
  const variables = Object.entries({ HOME: credentials.folder, ...environment }).map(
    ([name, value]) => `${name}="${value}"`,
  );
  const config = [
    "ListenAddress 127.0.0.1",
    `HostKey ${credentials.hostKeyFile}`,
    `AuthorizedKeysFile ${authorizedKeys}`,
    // The folder above is /tmp, which everybody can write to.
    "StrictModes no",
    "UsePAM no",
    "PidFile none",
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "LogLevel VERBOSE",
    // On one line, because sshd uses only the first of two equal settings.
    `SetEnv ${variables.join(" ")}`,
    ...settings,
  ];
  const configFile = path.join(credentials.folder, "sshd_config");
  await writeFile(configFile, `${config.join("\n")}\n`);
  try {
    const { server, port, log } = await startOnFreePort(SSHD, configFile);
    const stop = async () => {
      await end(server);
      await credentials.remove();
    };
    return {
      ...credentials,
      node,
      port,
      user: userInfo().username,
      log: () => log.join("\n"),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await credentials.remove();
    throw error;
  }
}

const ATTEMPTS = 5;

/** A free port can be taken a moment later, and sshd cannot choose one itself. */
async function startOnFreePort(sshd: string, configFile: string, attempt = 1) {
  const port = await freePort();
  const server = spawn(sshd, ["-D", "-e", "-f", configFile, "-p", String(port)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const log: string[] = [];
  try {
    await listening(server, log);
    return { server, port, log };
  } catch (error) {
    await end(server);
    if (attempt === ATTEMPTS) throw error;
    return startOnFreePort(sshd, configFile, attempt + 1);
  }
}

function listening(server: ChildProcess, log: string[]): Promise<void> {
  const { stderr } = server;
  if (stderr === null) throw new TypeError("its stderr is not a pipe");
  return new Promise((resolve, reject) => {
    createInterface({ input: stderr }).on("line", (line) => {
      log.push(line);
      if (/^Server listening on/.test(line)) resolve();
    });
    server.once("exit", () => reject(new Error(`sshd ended: ${log.join("; ")}`)));
  });
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, "exit");
  server.kill();
  await exited;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
