import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fingerprintOf } from "../fingerprint.ts";
import { makeKeyPair } from "./key-pair.ts";

/** What a client and a server need to know each other, in a folder of its own. */
export interface Credentials {
  readonly folder: string;
  /** The client's private key. */
  readonly keyFile: string;
  /** The client's public key, as a line for `authorized_keys`. */
  readonly publicLine: string;
  /** The server's private key. */
  readonly hostKeyFile: string;
  /** Names the server's key under the node's name. */
  readonly knownHosts: string;
  /** The server's key as `SHA256:…`. */
  readonly fingerprint: string;
  remove(): Promise<void>;
}

/** Makes two key pairs for a server that is called `node`. */
export async function makeCredentials(node: string): Promise<Credentials> {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-ssh-"));
  const file = (name: string) => path.join(folder, name);
  const client = makeKeyPair();
  const host = makeKeyPair();
  await writeFile(file("id"), client.private, { mode: 0o600 });
  await writeFile(file("host_key"), host.private, { mode: 0o600 });
  await writeFile(file("known_hosts"), `${node} ${host.public}\n`);
  const [, blob = ""] = host.public.split(" ");
  return {
    folder,
    keyFile: file("id"),
    publicLine: client.public,
    hostKeyFile: file("host_key"),
    knownHosts: file("known_hosts"),
    fingerprint: fingerprintOf(Buffer.from(blob, "base64")),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Reads a server's private key. */
export const readHostKey = ({ hostKeyFile }: Credentials): Promise<Buffer> => readFile(hostKeyFile);
