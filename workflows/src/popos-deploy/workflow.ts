import { defineWorkflow, NonRetryableError } from "@loom/workflow";
import { readSshAccess, type SshAccess } from "../ssh/access.ts";
import { deployCommands } from "./commands.ts";
import { type DeployInput, deployInput } from "./input.ts";
import { commitId, nameRelease, planPruning, releaseName } from "./release.ts";
import { currentRelease, switchTo, waitForHealth } from "./service.ts";
import { onNode } from "./target.ts";

const MINUTE_MS = 60_000;
/** Of a deploy that only says what it would do: it does not know the commit. */
const NO_COMMIT = commitId.parse("0".repeat(40));

const commands = deployCommands();

/** One step at a time in a directory, whichever runs they belong to: they share a repository. */
const oneAtATime = ({ input }: { input: DeployInput }) => ({
  key: `popos-deploy:${input.node}:${input.directory}`,
  limit: 1,
});

/**
 * Deploys a revision of a repository to a machine of the mesh, over SSH: a folder of its own for
 * every release, a link `current` to one, and a systemd unit that runs what it points to.
 *
 * A release is named in the first steps and stays the same for the run, so every step can be
 * repeated. Nothing touches the release that runs until the new one is built. When the service
 * does not become healthy, `rollback` puts back what was current before, and the run fails.
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
          // The node can tell of a commit only once it has it.
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
          // Not an error: a service that does not start has to be rolled back, by the later step.
          return { problem: await switchTo(release, { target, commands, input, instead }) };
        }),
    )
    .step(
      "verify",
      { after: ["restart"], timeout: "15m", retry: { attempts: 3 } },
      async (context) => {
        const { input, results, signal } = context;
        if (results.restart.problem || input.dryRun) return results.restart;
        return onNode(readAccess(), context, async (target) => ({
          problem: await waitForHealth({ target, commands, input }, signal),
        }));
      },
    )
    .step(
      "rollback",
      {
        after: ["reach", "fetch", "verify"],
        timeout: "15m",
        concurrency: oneAtATime,
        retry: { attempts: 10, backoff: { kind: "exponential", delay: "5s", max: "1m" } },
      },
      async (context) => {
        const { input, results, signal, log } = context;
        const previous = releaseName.nullable().parse(results.reach.previous);
        const failed = releaseName.parse(results.fetch.release);
        if (results.verify.problem === null) return { to: null, problem: null };
        log.warn({ failed, previous, problem: results.verify.problem }, "release is not healthy");
        if (previous === null) return { to: null, problem: "there is no release before it" };
        return onNode(readAccess(), context, async (target) => ({
          to: previous,
          problem:
            (await switchTo(previous, { target, commands, input, instead: failed })) ??
            (await waitForHealth({ target, commands, input }, signal)),
        }));
      },
    )
    .step(
      "conclude",
      { after: ["reach", "fetch", "verify", "rollback"], timeout: "5m", retry: { attempts: 3 } },
      async (context) => {
        const { input, results } = context;
        const { commit, release } = results.fetch;
        const { previous } = results.reach;
        const { problem } = results.verify;
        if (problem !== null) {
          throw new NonRetryableError(
            `${release} is not healthy: ${problem}; ${describe(results.rollback)}`,
          );
        }
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

function describe({ to, problem }: { to: string | null; problem: string | null }): string {
  if (to === null) return `not rolled back: ${problem}`;
  return problem === null
    ? `rolled back to ${to}, which is healthy`
    : `rolled back to ${to}, which is not healthy either: ${problem}`;
}

export const popOsDeploy = definePoposDeploy(readSshAccess);
