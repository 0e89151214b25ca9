import { z } from "zod";

/**
 * The input of a deploy. Every text is restricted to what its purpose needs. So none can be an
 * option, a path that leads elsewhere, or shell syntax.
 */

/** A path without `.`, `..` and hidden parts. */
const ABSOLUTE = /(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)+/;

const nodeName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, "is not a node's name")
  .brand<"NodeName">();

export const directory = z
  .string()
  .max(120)
  .regex(new RegExp(`^${ABSOLUTE.source}$`), "is not a plain absolute path, such as /srv/popos")
  .brand<"Directory">();

export const service = z
  .string()
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,100}\.service$/,
    "is not a service unit, such as popos.service",
  )
  .brand<"Service">();

export const repository = z
  .string()
  .max(500)
  .regex(
    // Excludes `ext::`, options, and passwords, which the process list would show.
    new RegExp(
      `^(?:https://[\\w.-]+(?::\\d+)?/[\\w./~-]+|ssh://[\\w.@-]+(?::\\d+)?/[\\w./~-]+|[\\w-]+@[\\w.-]+:[\\w./~-]+|${ABSOLUTE.source})$`,
    ),
    "is not a repository: give an https:// or ssh:// address, user@host:path, or a path on the node",
  )
  .brand<"Repository">();

export const revision = z
  .string()
  .regex(
    /^(?!.*(?:\.\.|\/\/|\/$|\.lock$))[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}$/,
    "is not a branch, tag or commit",
  )
  .brand<"Revision">();

export const healthUrl = z
  .string()
  .regex(/^https?:\/\/[\w.-]+(?::\d+)?(?:\/[\w./?&=%~-]*)?$/, "is not a plain http address")
  .brand<"HealthUrl">();

export const scope = z.enum(["user", "system"]);

export const deployInput = z.object({
  /** The machine, by its name in the mesh. */
  node: nodeName.default(nodeName.parse("pop-os")),
  /** The folder of the repository, the releases and the link `current`. */
  directory,
  /** The address that git on the node reads from. */
  repository,
  /** A branch, a tag or a full commit. */
  revision: revision.default(revision.parse("main")),
  /** The systemd unit that runs the release in `current`. */
  service,
  /** Whether it is a unit of the user who logs in, or of the system. */
  scope: scope.default("user"),
  /** An address that is also requested on the node, after the unit is active. */
  healthUrl: healthUrl.optional(),
  /** How long the service may take to be healthy. */
  healthSeconds: z.number().int().min(1).max(300).default(30),
  /** Logs what a deploy would do, and changes nothing. */
  dryRun: z.boolean().default(false),
});

export type DeployInput = z.output<typeof deployInput>;
