import { execFile } from "node:child_process";
import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * Where tailscaled serves its LocalAPI: a unix socket or Windows pipe, which know who connects, or a
 * port of the macOS apps on 127.0.0.1, with a password in its place.
 */
export type Endpoint = { socketPath: string } | { port: number; token: string };

/** What finding the daemon depends on. */
export interface Host {
  platform: NodeJS.Platform;
  uid: number;
  /** The command that lists open files. */
  lsof: string;
  /** Where the standalone macOS app leaves its port and password. */
  sharedDirectory: string;
}

const thisHost = (): Host => ({
  platform: process.platform,
  uid: process.getuid?.() ?? 0,
  lsof: "lsof",
  sharedDirectory: "/Library/Tailscale",
});

/**
 * Finds the places where a daemon may listen, in tailscale's own order: safesocket, paths/paths.go.
 *
 * What an app that has ended left behind is among them, so the next is tried when nobody listens.
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

/** The App Store's app tells port and password in the name of a file that it holds open. */
async function appStoreEndpoint(
  { lsof, uid }: { lsof: string; uid: number },
  signal: AbortSignal,
): Promise<Endpoint | undefined> {
  const args = ["-n", "-a", `-u${uid}`, "-c", "IPNExtension", "-F"];
  // It exits with 1 when the app does not run.
  const { stdout } = await promisify(execFile)(lsof, args, { signal }).catch((error) => {
    signal.throwIfAborted();
    return error as { stdout?: string };
  });
  const found = /\.tailscale\.ipn\.macos\/sameuserproof-(\d+)-(\w+)/.exec(stdout ?? "");
  return found?.[1] && found[2] ? { port: Number(found[1]), token: found[2] } : undefined;
}

/** The standalone app: the text of a link is the port, and a file that admins may read the password. */
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
