import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import ssh2 from "ssh2";
import { fingerprintOf } from "../fingerprint.ts";

/** The keys of a client and a server that know each other, in a new folder. */
export interface Credentials {
  readonly folder: string;
  /** The client's private key. */
  readonly keyFile: string;
  /** The client's public key, as a line for `authorized_keys`. */
  readonly publicLine: string;
  /** The server's private key. */
  readonly hostKeyFile: string;
  /** A known_hosts file with the server's key under the node's name. */
  readonly knownHosts: string;
  /** The server's key as `SHA256:…`. */
  readonly fingerprint: string;
  remove(): Promise<void>;
}

/** Creates two key pairs, for a client and for a server with the name `node`. */
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

/** A key pair in OpenSSH's formats. */
export interface KeyPair {
  readonly private: string;
  /** One line, without a line break. */
  readonly public: string;
}

/** Makes a key pair. */
export function makeKeyPair(type: "ed25519" | "ecdsa" = "ed25519"): KeyPair {
  // ssh2 1.17 writes about one in a hundred ed25519 keys in an unreadable form (23 of 3 000;
  // ssh-keygen refuses them too).
  for (;;) {
    const pair =
      type === "ed25519"
        ? ssh2.utils.generateKeyPairSync("ed25519")
        : ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 });
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) {
      return { private: pair.private, public: pair.public.trim() };
    }
  }
}
