import { z } from "zod";

/**
 * What a deploy is told. Every text is bound to what its purpose needs, so that none can be an
 * option, a path that leads elsewhere, or anything to a shell.
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
    // No ext::, no options, and no password, which the process list would show.
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
  /** Holds the repository, the releases and the link `current`. */
  directory,
  /** Read by git on the node. */
  repository,
  /** A branch, a tag or a full commit. */
  revision: revision.default(revision.parse("main")),
  /** The systemd unit that runs what `current` points to. */
  service,
  /** Whether it is a unit of the user that logs in, or of the system. */
  scope: scope.default("user"),
  /** Asked on the node, besides whether the unit is active. */
  healthUrl: healthUrl.optional(),
  /** How long the service may take to be healthy. */
  healthSeconds: z.number().int().min(1).max(300).default(30),
  /** Says what would be done, and changes nothing. */
  dryRun: z.boolean().default(false),
});

export type DeployInput = z.output<typeof deployInput>;
