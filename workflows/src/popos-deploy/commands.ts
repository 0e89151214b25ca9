import { defineCommands } from "@loom/ssh";
import { z } from "zod";
import { directory, healthUrl, repository, revision, scope, service } from "./input.ts";
import { commitId, releaseName } from "./release.ts";

/** The deploys that a node allows. A field that is left out allows every value. */
export interface DeployLimits {
  readonly directory?: string;
  readonly repository?: string;
  readonly service?: string;
}

/**
 * Defines every operation of a deploy on a node: `<directory>/repository` is a bare clone,
 * `<directory>/releases/<release>` a checked-out commit, `<directory>/current` a link to one.
 *
 * The hub uses the operations without limits. On the node, the module that `loom-ssh-gate` loads
 * exports them with that node's limits.
 */
export function deployCommands(limits: DeployLimits = {}) {
  const home = limited(directory, limits.directory);
  const origin = limited(repository, limits.repository);
  const unit = limited(service, limits.service);
  const repositoryOf = (folder: string) => `${folder}/repository`;
  const releaseOf = (folder: string, release: string) => `${folder}/releases/${release}`;

  return defineCommands({
    reach: { args: z.tuple([]), argv: () => ["true"] },
    // Only the message, in the C locale, distinguishes a missing link from one that cannot be read.
    current: {
      args: z.tuple([home]),
      argv: (folder) => ["env", "LC_ALL=C", "readlink", "-v", "--", `${folder}/current`],
    },
    find: {
      args: z.tuple([origin, revision]),
      argv: (from, wanted) => ["git", "ls-remote", "--exit-code", "--", from, wanted],
    },
    prepare: {
      args: z.tuple([home]),
      argv: (folder) => ["git", "init", "--quiet", "--bare", repositoryOf(folder)],
    },
    fetch: {
      args: z.tuple([home, origin]),
      argv: (folder, from) => [
        "git",
        `--git-dir=${repositoryOf(folder)}`,
        "fetch",
        "--quiet",
        "--prune",
        "--",
        from,
        "+refs/heads/*:refs/heads/*",
        "+refs/tags/*:refs/tags/*",
      ],
    },
    resolve: {
      args: z.tuple([home, revision]),
      argv: (folder, wanted) => [
        "git",
        `--git-dir=${repositoryOf(folder)}`,
        "rev-parse",
        "--verify",
        `${wanted}^{commit}`,
      ],
    },
    makeRelease: {
      args: z.tuple([home, releaseName]),
      argv: (folder, release) => ["mkdir", "-p", "--", releaseOf(folder, release)],
    },
    checkOut: {
      args: z.tuple([home, releaseName, commitId]),
      argv: (folder, release, commit) => [
        "git",
        `--git-dir=${repositoryOf(folder)}`,
        `--work-tree=${releaseOf(folder, release)}`,
        "checkout",
        "--quiet",
        "--force",
        commit,
        "--",
        ".",
      ],
    },
    install: {
      args: z.tuple([home, releaseName]),
      argv: (folder, release) => [
        "npm",
        `--prefix=${releaseOf(folder, release)}`,
        "ci",
        "--no-audit",
        "--no-fund",
      ],
    },
    build: {
      args: z.tuple([home, releaseName]),
      argv: (folder, release) => [
        "npm",
        `--prefix=${releaseOf(folder, release)}`,
        "run",
        "--if-present",
        "build",
      ],
    },
    // Two operations, because only a rename replaces a link atomically.
    link: {
      args: z.tuple([home, releaseName]),
      argv: (folder, release) => ["ln", "-sfn", `releases/${release}`, `${folder}/current.next`],
    },
    activate: {
      args: z.tuple([home]),
      argv: (folder) => ["mv", "-fT", "--", `${folder}/current.next`, `${folder}/current`],
    },
    restart: {
      args: z.tuple([unit, scope]),
      argv: (name, of) => ["systemctl", `--${of}`, "restart", name],
    },
    isActive: {
      args: z.tuple([unit, scope]),
      argv: (name, of) => ["systemctl", `--${of}`, "is-active", name],
    },
    askHealth: {
      args: z.tuple([healthUrl]),
      argv: (url) => [
        "curl",
        "--fail",
        "--silent",
        "--show-error",
        "--globoff",
        "--max-time",
        "5",
        "--output",
        "/dev/null",
        "--url",
        url,
      ],
    },
    listReleases: { args: z.tuple([home]), argv: (folder) => ["ls", "-1", `${folder}/releases`] },
    removeRelease: {
      args: z.tuple([home, releaseName]),
      argv: (folder, release) => ["rm", "-rf", "--", releaseOf(folder, release)],
    },
  });
}

const limited = <Schema extends z.ZodType<string, string>>(schema: Schema, only?: string) =>
  schema.refine((value) => only === undefined || value === only, `must be ${only} on this node`);
