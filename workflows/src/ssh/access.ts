import { homedir, userInfo } from "node:os";
import path from "node:path";
import { type Connection, connect } from "@loom/ssh";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  staticSource,
} from "@loom/tailscale-resolver";
import { z } from "zod";

/** Access to the mesh's machines over SSH, with one key that has no other purpose. */
export interface SshAccess {
  readonly keyFile: string;
  /** Connects to a node by its name. */
  connect(node: string, options?: { signal?: AbortSignal }): Promise<Connection>;
}

type Variables = Readonly<Record<string, string | undefined>>;

const settings = z.object({
  LOOM_SSH_KEY: z.string().default(() => path.join(homedir(), ".ssh", "id_popos-deploy")),
  LOOM_SSH_USER: z.string().default(() => userInfo().username),
  LOOM_SSH_KNOWN_HOSTS: z.string().default(() => path.join(homedir(), ".ssh", "known_hosts")),
  LOOM_SSH_PORT: z.coerce.number().int().min(1).max(65_535).default(22),
  LOOM_SSH_ADDRESSES: z
    .string()
    .regex(/^[^=,]+=[^=,]+(,[^=,]+=[^=,]+)*$/, "write it as pop-os=192.168.1.5,forge=192.168.1.6")
    .optional(),
});

/**
 * Reads the settings of the SSH access from this process's environment. A blank variable counts as
 * unset. No other module of the workflows reads the environment.
 *
 * @throws TypeError when a variable cannot be used.
 */
export function readSshAccess(variables: Variables = process.env): SshAccess {
  const given = Object.keys(settings.shape).map((name) => [
    name,
    variables[name]?.trim() || undefined,
  ]);
  const env = settings.safeParse(Object.fromEntries(given));
  if (!env.success) {
    const problems = env.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    throw new TypeError(problems.join("; "));
  }
  const { LOOM_SSH_KEY: keyFile, LOOM_SSH_USER: user, LOOM_SSH_PORT: port } = env.data;
  const source = env.data.LOOM_SSH_ADDRESSES
    ? staticSource(toAddresses(env.data.LOOM_SSH_ADDRESSES))
    : firstOf([localApiSource(), cliSource()]);
  const resolver = createResolver({ source });
  return {
    keyFile,
    connect: (node, { signal } = {}) =>
      connect({
        node,
        async address(options) {
          const { ip, via } = await resolver.resolve(node, options);
          if (via === "direct") return ip;
          throw new Error(
            `tailscaled runs with userspace networking, so a plain connection to ${ip} would leave the tailnet: run it with a TUN device on this machine`,
          );
        },
        port,
        user,
        keyFile,
        hostKeys: { knownHosts: env.data.LOOM_SSH_KNOWN_HOSTS },
        ...(signal && { signal }),
      }),
  };
}

const toAddresses = (list: string): Record<string, string> =>
  Object.fromEntries(list.split(",").map((entry) => entry.split("=").map((part) => part.trim())));
