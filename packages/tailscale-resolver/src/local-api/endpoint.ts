import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { MAX_BYTES } from "../read-text.ts";
import { type Exit, runCommand } from "../run-command.ts";

/**
 * An address where tailscaled serves its LocalAPI. A unix socket or Windows pipe identifies the
 * user who connects. The macOS apps use a port on 127.0.0.1 with a password instead.
 */
export type Endpoint = { socketPath: string } | { port: number; token: string };

/** The properties of the machine that decide where the daemon listens. */
export interface Host {
  platform: NodeJS.Platform;
  uid: number;
  /** The command that lists open files. */
  lsof: string;
  /** The folder in which the standalone macOS app stores its port and password. */
  sharedDirectory: string;
}

const thisHost = (): Host => ({
  platform: process.platform,
  uid: process.getuid?.() ?? 0,
  lsof: "lsof",
  sharedDirectory: "/Library/Tailscale",
});

/**
 * Finds the addresses where a daemon may listen, in tailscale's own order: safesocket,
 * paths/paths.go.
 *
 * An app that has ended may have left its address behind, so the caller tries the next one when
 * nothing listens.
 */
export async function* findEndpoints(
  signal: AbortSignal,
  { platform, uid, lsof, sharedDirectory }: Host = thisHost(),
): AsyncGenerator<Endpoint> {
  switch (platform) {
    case "win32":
      yield { socketPath: "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\Tailscale\\tailscaled" };
      break;
    case "darwin": {
      const app = await appStoreEndpoint({ lsof, uid }, signal);
      if (app) yield app;
      const standalone = await standaloneEndpoint(sharedDirectory);
      if (standalone) yield standalone;
      yield { socketPath: "/var/run/tailscaled.socket" };
      break;
    }
    default:
      yield { socketPath: "/var/run/tailscale/tailscaled.sock" };
  }
}

/** The App Store's app has its port and password in the name of a file that it holds open. */
async function appStoreEndpoint(
  { lsof, uid }: { lsof: string; uid: number },
  signal: AbortSignal,
): Promise<Endpoint | undefined> {
  const args = ["-n", "-a", `-u${uid}`, "-c", "IPNExtension", "-F"];
  // lsof exits with 1 when the app does not run.
  const exit = await runCommand(lsof, args, { signal, maxBytes: MAX_BYTES }).catch(
    (): Partial<Exit> => {
      signal.throwIfAborted();
      return {};
    },
  );
  const found = /\.tailscale\.ipn\.macos\/sameuserproof-(\d+)-(\w+)/.exec(exit.stdout ?? "");
  return found?.[1] && found[2] ? { port: Number(found[1]), token: found[2] } : undefined;
}

/**
 * The standalone app stores the port as the target of a link, and the password in a file that
 * admins may read.
 */
async function standaloneEndpoint(directory: string): Promise<Endpoint | undefined> {
  try {
    const port = await readlink(join(directory, "ipnport"));
    if (!/^\d+$/.test(port)) return undefined;
    const token = await readFile(join(directory, `sameuserproof-${port}`), "utf8");
    return { port: Number(port), token: token.trim() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
