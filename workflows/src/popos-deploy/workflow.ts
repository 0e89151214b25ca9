import { defineWorkflow, NonRetryableError } from "@loom/workflow";
import { readSshAccess, type SshAccess } from "../ssh/access.ts";
import { deployCommands } from "./commands.ts";
import { type DeployInput, deployInput } from "./input.ts";
import { commitId, nameRelease, planPruning, releaseName } from "./release.ts";
import { currentRelease, switchTo, waitForHealth } from "./service.ts";
import { onNode } from "./target.ts";

const MINUTE_MS = 60_000;
/** Used in a dry run, which does not know the commit. */
const NO_COMMIT = commitId.parse("0".repeat(40));

const commands = deployCommands();

/**
 * One step at a time runs in a directory, even for different runs, because they share a repository.
 */
const oneAtATime = ({ input }: { input: DeployInput }) => ({
  key: `popos-deploy:${input.node}:${input.directory}`,
  limit: 1,
});

/**
 * Deploys a revision of a repository to a machine of the mesh over SSH. Each release has its own
 * folder, a link `current` points to one of them, and a systemd unit runs that one.
 *
 * The release is named in the first steps and stays the same for the run, so every step can be
 * repeated. No step touches the running release until the new one is built. If the service does not
 * become healthy, the run fails, and `rollback` restores the previous release.
 */
export const definePoposDeploy = (readAccess: () => SshAccess) =>
  defineWorkflow({ name: "popos-deploy", input: deployInput, requires: ["loom-hub"] })
    .step("reach", { timeout: "1m", retry: { attempts: 3, backoff: "5s" } }, (context) =>
      onNode(readAccess(), context, async (target) => {
        await target.ask(commands.reach());
        const previous = await currentRelease(target, commands, context.input);
        return { previous, at: new Date().toISOString() };
      }),
    )
    .step(
      "fetch",
      { after: ["reach"], timeout: "10m", retry: { attempts: 3 }, concurrency: oneAtATime },
      (context) =>
        onNode(readAccess(), context, async (target) => {
          const { directory, repository, revision, dryRun } = context.input;
          const { at } = context.results.reach;
          // The node knows a commit only after it has fetched it.
          if (dryRun && !commitId.safeParse(revision).success) {
            await target.ask(commands.find(repository, revision));
          }
          await target.change(commands.prepare(directory));
          await target.change(commands.fetch(directory, repository), { timeoutMs: 9 * MINUTE_MS });
          const commit = dryRun
            ? NO_COMMIT
            : commitId.parse((await target.ask(commands.resolve(directory, revision))).trim());
          const release = nameRelease(at, commit);
          await target.change(commands.makeRelease(directory, release));
          await target.change(commands.checkOut(directory, release, commit));
          return { commit, release };
        }),
    )
    .step(
      "install",
      { after: ["fetch"], timeout: "20m", retry: { attempts: 2 }, concurrency: oneAtATime },
      (context) =>
        onNode(readAccess(), context, async (target) => {
          const release = releaseName.parse(context.results.fetch.release);
          const install = commands.install(context.input.directory, release);
          await target.change(install, { timeoutMs: 19 * MINUTE_MS });
        }),
    )
    .step(
      "build",
      { after: ["fetch", "install"], timeout: "30m", concurrency: oneAtATime },
      (context) =>
        onNode(readAccess(), context, async (target) => {
          const release = releaseName.parse(context.results.fetch.release);
          const build = commands.build(context.input.directory, release);
          await target.change(build, { timeoutMs: 29 * MINUTE_MS });
        }),
    )
    .step(
      "restart",
      {
        after: ["reach", "fetch", "build"],
        timeout: "5m",
        retry: { attempts: 3 },
        concurrency: oneAtATime,
      },
      (context) =>
        onNode(readAccess(), context, async (target) => {
          const { input, results } = context;
          const instead = releaseName.nullable().parse(results.reach.previous);
          const release = releaseName.parse(results.fetch.release);
          const problem = await switchTo(release, { target, commands, input, instead });
          if (problem !== null) throw new NonRetryableError(`${release} did not start: ${problem}`);
        }),
    )
    .step(
      "verify",
      { after: ["fetch", "restart"], timeout: "15m", retry: { attempts: 3 } },
      async (context) => {
        const { input, results, signal } = context;
        if (input.dryRun) return;
        await onNode(readAccess(), context, async (target) => {
          const problem = await waitForHealth({ target, commands, input }, signal);
          if (problem === null) return;
          throw new NonRetryableError(`${results.fetch.release} is not healthy: ${problem}`);
        });
      },
    )
    .step(
      "rollback",
      {
        after: ["reach", "fetch", "build", "verify"],
        runsAfter: "failure",
        // Before the build has succeeded, the running release was not touched.
        when: ({ input, results }) => results.build !== undefined && !input.dryRun,
        timeout: "15m",
        concurrency: oneAtATime,
        retry: { attempts: 10, backoff: { kind: "exponential", delay: "5s", max: "1m" } },
      },
      async (context) => {
        const { input, results, signal, log } = context;
        const previous = releaseName.nullable().parse(results.reach?.previous);
        const failed = releaseName.parse(results.fetch?.release);
        log.warn({ failed, previous }, "release does not work");
        if (previous === null) throw new NonRetryableError("no earlier release exists");
        await onNode(readAccess(), context, async (target) => {
          const problem =
            (await switchTo(previous, { target, commands, input, instead: failed })) ??
            (await waitForHealth({ target, commands, input }, signal));
          if (problem === null) return;
          throw new NonRetryableError(
            `rolled back to ${previous}, which is not healthy either: ${problem}`,
          );
        });
        return { to: previous };
      },
    )
    .step(
      "conclude",
      { after: ["reach", "fetch", "verify"], timeout: "5m", retry: { attempts: 3 } },
      async (context) => {
        const { input, results } = context;
        const { commit, release } = results.fetch;
        const { previous } = results.reach;
        if (!input.dryRun) {
          await onNode(readAccess(), context, async (target) => {
            const names = (await target.ask(commands.listReleases(input.directory))).split("\n");
            for (const old of planPruning(names, [release, previous])) {
              await target.change(commands.removeRelease(input.directory, old));
            }
          });
        }
        return { node: input.node, release, commit, previous };
      },
    );

export const popOsDeploy = definePoposDeploy(readSshAccess);
