import { readFile } from "node:fs/promises";
import { HostKeyError } from "./errors.ts";
import { fingerprintOf, keyType } from "./fingerprint.ts";
import { hostAndPort, namesHost, parseKnownHosts } from "./known-hosts.ts";

/**
 * The known host keys of a node: fingerprints (`SHA256:…`, as `ssh-keygen -l` prints them), or a
 * known_hosts file with lines under the node's name, which may be hashed. For another port than 22,
 * lines under `[name]:port` come first, as in ssh.
 */
export type HostKeys =
  | { readonly fingerprints: readonly string[] }
  | { readonly knownHosts: string };

/** The recorded host keys of one node. */
export interface HostKeyRecord {
  /** The host key algorithms to request: those for which a key is recorded. */
  readonly algorithms: readonly HostKeyAlgorithm[];
  /** Returns the error for the shown key; `null` when it is the node's. */
  verify(key: Buffer, address: string): HostKeyError | null;
  /** Returns the error for a server that has no key of a recorded kind. */
  noneShown(address: string): HostKeyError;
}

/** In the order of preference. ssh-rsa is missing because it signs with SHA-1. */
const ALGORITHMS = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "rsa-sha2-512",
  "rsa-sha2-256",
] as const;
type HostKeyAlgorithm = (typeof ALGORITHMS)[number];

const typeOf = (algorithm: HostKeyAlgorithm): string =>
  algorithm.startsWith("rsa-") ? "ssh-rsa" : algorithm;

/**
 * Reads a node's host keys. A key is never learnt from a connection.
 *
 * @throws HostKeyError when the file cannot be read. A missing file records no key.
 */
export async function readHostKeys(
  { node, port }: { readonly node: string; readonly port: number },
  hostKeys: HostKeys,
): Promise<HostKeyRecord> {
  if ("fingerprints" in hostKeys) return pinned(node, hostKeys.fingerprints);
  const file = hostKeys.knownHosts;
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return "";
    throw new HostKeyError(`the known host keys in ${file} cannot be read: ${cause.message}`, {
      code: "KNOWN_HOSTS_UNREADABLE",
      node,
      fingerprint: null,
      cause,
    });
  });
  const lines = parseKnownHosts(text);
  const keysOf = (name: string, wanted: "revoked" | null) =>
    lines.flatMap((line) => (line.marker === wanted && namesHost(line, name) ? [line.key] : []));
  const withPort = hostAndPort(node, port);
  const knownWithPort = keysOf(withPort, null);
  const [name, known] =
    knownWithPort.length > 0 ? [withPort, knownWithPort] : [node, keysOf(node, null)];
  const revoked = [...keysOf(withPort, "revoked"), ...keysOf(node, "revoked")];
  const types = new Set(known.map(keyType));
  const algorithms = ALGORITHMS.filter((algorithm) => types.has(typeOf(algorithm)));
  const record = known.map(fingerprintOf).join(", ");

  return {
    algorithms: algorithms.length > 0 ? algorithms : ALGORITHMS,
    verify(key, address) {
      const fingerprint = fingerprintOf(key);
      if (revoked.some((other) => other.equals(key))) {
        return new HostKeyError(
          `${address} showed the key ${fingerprint}, which ${file} marks as revoked for ${node}: do not use it; give the machine new host keys`,
          { code: "HOST_KEY_REVOKED", node, fingerprint },
        );
      }
      if (known.some((other) => other.equals(key))) return null;
      const line = `${name} ${keyType(key)} ${key.toString("base64")}`;
      if (known.length === 0)
        return unknownKey(node, { key, address, cure: `add this line to ${file}: ${line}` });
      return changedKey(node, {
        shown: fingerprint,
        address,
        record,
        cure: `ssh-keygen -R '${name}' -f ${file}, and add this line to it: ${line}`,
      });
    },
    noneShown: (address) =>
      changedKey(node, {
        shown: null,
        address,
        record,
        cure: `put a current key of the machine into ${file}`,
      }),
  };
}

function pinned(node: string, fingerprints: readonly string[]): HostKeyRecord {
  const record = fingerprints.join(", ");
  const cure = "pin the fingerprint that the machine itself prints";
  return {
    algorithms: ALGORITHMS,
    verify(key, address) {
      const shown = fingerprintOf(key);
      if (fingerprints.includes(shown)) return null;
      return fingerprints.length === 0
        ? unknownKey(node, { key, address, cure })
        : changedKey(node, { shown, address, record, cure });
    },
    noneShown: (address) => changedKey(node, { shown: null, address, record, cure }),
  };
}

const COMPARE =
  "compare it with what the machine itself prints for `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`";

function unknownKey(
  node: string,
  { key, address, cure }: { key: Buffer; address: string; cure: string },
): HostKeyError {
  const fingerprint = fingerprintOf(key);
  return new HostKeyError(
    `no host key is recorded for ${node}, and ${address} showed ${fingerprint} (${keyType(key)}): ${COMPARE}; if they agree, ${cure}`,
    { code: "HOST_KEY_UNKNOWN", node, fingerprint },
  );
}

function changedKey(
  node: string,
  facts: { shown: string | null; address: string; record: string; cure: string },
): HostKeyError {
  const { shown, address, record, cure } = facts;
  return new HostKeyError(
    `the host key of ${node} has changed: ${address} showed ${shown ?? "no key of a known kind"}, the recorded key is ${record}. Either the machine was reinstalled, or another machine answers in its place: ${COMPARE}; only if they agree, ${cure}`,
    { code: "HOST_KEY_CHANGED", node, fingerprint: shown },
  );
}
