import { shortVersion } from "@loom/code";
import { suggestNames } from "@loom/did-you-mean";
import { explain, type ReasonCode } from "@loom/scheduler";
import { workflowProblemTitle } from "@loom/worker";
import { z } from "zod";
import { toScoredJob, toScoredNode } from "../scored.ts";
import { type Check, countOf, type Finding, fail, since, waitingOf, warn } from "./check.ts";
import { type DoctorFacts, pendingFor } from "./facts.ts";

/** Every node that a job waits for is known. */
export const targetHosts: Check = ({ jobs, nodes }) => {
  const known = nodes.map(({ name }) => name);
  const asked = Map.groupBy(
    jobs.filter(({ state }) => state === "pending"),
    ({ targetHost }) => targetHost ?? "",
  );
  const findings = [...asked]
    .filter(([host]) => !known.includes(host))
    .map(([host, waiting]) => {
      const near = suggestNames(host, known);
      const meant = near.length > 0 ? `, which may have meant ${near.join(" or ")}` : "";
      return fail(
        host,
        `${jobsOf(waiting)} for ${host}${meant}: no node of this name has ever reported; known are ${known.join(", ") || "none"}`,
        near.length > 0
          ? `name ${near[0]} as the step's host, and start the run again`
          : `start an agent with LOOM_NODE_NAME=${host}, or name another host`,
      );
    });
  return { ok: `${countOf(asked.size, "node")} waited for, all known`, findings };
};

/** Names up to three of the waiting jobs. */
const jobsOf = (jobs: readonly { id: number; step: string }[]): string => {
  const named = jobs.slice(0, 3).map(({ id, step }) => `${id} (${step})`);
  const more = jobs.length > named.length ? " and more" : "";
  return jobs.length === 1 ? `job ${named[0]} waits` : `jobs ${named.join(", ")}${more} wait`;
};

/** A node meets the requirements of every job; for a pinned job, the node that it is pinned to. */
export const capabilities: Check = (facts) => ({
  ok: "every job that waits has a node that could run it",
  findings: stuckFor(["no_capable_node"], facts),
});

/** No job waits only because every capable node gave it back, or was lost with it, too often. */
export const exclusions: Check = ({ toPlace, nodes }) => {
  const views = nodes.map(toScoredNode);
  const findings = toPlace.flatMap((job) => {
    if (job.excluded.length === 0) return [];
    const { code, summary, fix } = explain(toScoredJob(job), views);
    if (code !== "excluded") return [];
    return [
      warn(
        `job ${job.id}`,
        `step ${job.step} of ${job.workflow}: ${summary}`,
        `${fix?.action ?? "wait: these nodes are tried again"}; read what the node's log says of it before`,
      ),
    ];
  });
  return { ok: "no job waits only because nodes are excluded", findings };
};

/** No job waits for a paused node or workflow. */
export const pauses: Check = (facts) => {
  const workflows = facts.paused.flatMap(({ workflow, note }) => {
    const waiting = facts.jobs.filter((job) => job.workflow === workflow).length;
    if (waiting === 0) return [];
    return [
      warn(
        workflow,
        `the workflow is paused${note === null ? "" : ` (${note})`}; ${waitingOf(waiting)}`,
        `resume it: POST /api/loom/strands/${workflow}/resume`,
      ),
    ];
  });
  const nodes = facts.nodes.flatMap(({ name, status, statusNote }) => {
    const waiting = pendingFor(facts, name).length;
    if (status === "active" || waiting === 0) return [];
    return [
      warn(
        name,
        `the node is ${status}${statusNote === null ? "" : ` (${statusNote})`}; ${waitingOf(waiting)} for it`,
        `resume ${name}`,
      ),
    ];
  });
  return { ok: "nothing that jobs wait for is paused", findings: [...workflows, ...nodes] };
};

/** A hub that leads places every due job within seconds, or records a reason. */
const PLACED_WITHIN_MS = 15_000;

/** Some hub places jobs: every due job has a node or a reason. */
export const placing: Check = ({ jobs, toPlace, database }) => {
  const placeable = new Set(toPlace.map(({ id }) => id));
  const ignored = jobs.filter(
    ({ id, state, waitingReason, runAt }) =>
      state === "waiting" &&
      placeable.has(id) &&
      waitingReason === null &&
      database.now.getTime() - runAt.getTime() > PLACED_WITHIN_MS,
  );
  return {
    ok: "every due job has a node or a reason",
    findings:
      ignored.length === 0
        ? []
        : [
            fail(
              "hub",
              `no hub has placed ${countOf(ignored.length, "job")} that have been due for more than ${PLACED_WITHIN_MS / 1_000} s`,
              "read the hub's log for the placing loop, then restart the hub",
            ),
          ],
  };
};

/** The hub can use every workflow file. */
export const workflowFiles: Check = ({ workflowProblems }) => ({
  ok: "every workflow file can be used",
  findings: workflowProblems.map((problem) =>
    fail(
      problem.file,
      workflowProblemTitle(problem),
      `${problem.fix ?? "fix the file"}; then start the hub again`,
    ),
  ),
});

/** This hub had no recent faults. */
export const faults: Check = ({ faults: recent }) => ({
  ok: "no item failed in the last 10 min",
  findings: recent.map(({ loop, subject, message, count, lastAt }) =>
    warn(
      loop === "schedule" ? `schedule ${subject}` : subject,
      `${message} (loop ${loop}, ${count === 1 ? "once" : `${count} times`}, last ${since(Date.now() - lastAt.getTime())})`,
      "fix what it names; the hub's log has the whole error",
    ),
  ),
});

/** The database has exactly the migrations of this hub's code. */
export const schema: Check = ({ database, migrations }) => {
  const missing = migrations.filter((name) => !database.migrations.includes(name));
  const newer = database.migrations.filter((name) => !migrations.includes(name));
  return {
    ok: `up to date: ${migrations.at(-1)}`,
    findings: [
      ...(missing.length === 0
        ? []
        : [
            fail(
              "database",
              `it lacks the migrations ${missing.join(", ")}`,
              "apply the migrations: npx @loom/hub migrate",
            ),
          ]),
      ...(newer.length === 0
        ? []
        : [
            warn(
              "hub",
              `the database has newer migrations than this hub: ${newer.join(", ")}`,
              "update the hub",
            ),
          ]),
    ],
  };
};

/** A transaction that is open for longer is reported. Loom's own take much less time. */
const LONG_TRANSACTION_MS = 10_000;

/** No open transaction holds events back from the streams. */
export const events: Check = ({ database: { heldBackMs, oldestWriter } }) => {
  if (heldBackMs === null || heldBackMs < LONG_TRANSACTION_MS) {
    return { ok: "events reach every stream at once", findings: [] };
  }
  const { pid, user, application } = oldestWriter ?? {};
  const whose =
    pid === undefined
      ? "a prepared transaction"
      : `a transaction of ${application || user || "somebody"} (pid ${pid})`;
  return {
    ok: "",
    findings: [
      warn(
        "database",
        `${whose} has been open for ${Math.round(heldBackMs / 1_000)} s or longer: what has happened since is in no event stream, dashboard or metric`,
        pid === undefined
          ? "commit it or roll it back: select * from pg_prepared_xacts"
          : `commit it, or end it: select pg_terminate_backend(${pid})`,
      ),
    ],
  };
};

/** Says how long history is kept. It finds nothing: any number of days is right. */
export const retention: Check = ({ retentionDays }) => ({
  ok: `what is finished is kept for ${countOf(retentionDays, "day")} (LOOM_RETENTION)`,
  findings: [],
});

/** With less room than this, the next large file does not fit. */
const LITTLE_ROOM = 1_073_741_824;

/** The store of files has room. */
export const files: Check = ({ files: store }) => {
  if (store === null) return { skipped: "this hub keeps no files" };
  if ("problem" in store) {
    const fix = "look at the folder files in the hub's state folder, or at LOOM_FILES_S3";
    return { ok: "", findings: [fail("store of files", store.problem, fix)] };
  }
  const { free } = store;
  if (free === null) return { ok: "files are kept in a bucket", findings: [] };
  const room = `${Math.floor(free / 1_048_576)} MiB`;
  if (free >= LITTLE_ROOM) return { ok: `there is room for files: ${room}`, findings: [] };
  const evidence = `it has room for ${room}: larger files fail with STORE_FULL`;
  const fix = "free space on the hub's disk, lower LOOM_RETENTION, or give the hub a bucket";
  return { ok: "", findings: [(free === 0 ? fail : warn)("store of files", evidence, fix)] };
};

/** The hub and the nodes have the same code of each workflow. */
export const workflowVersions: Check = (facts) => {
  const differing = facts.nodes.flatMap((node) => {
    const other = [...facts.workflows].flatMap(([name, version]) => {
      const seen = versionsOf(name, node.capabilities);
      return seen.length === 0 || seen.includes(version)
        ? []
        : [
            `${name} in version ${seen.map(shortVersion).join(", ")}, the hub in ${shortVersion(version)}`,
          ];
    });
    if (other.length === 0) return [];
    return [
      warn(
        node.name,
        `it has ${other.join("; ")}`,
        `bring the hub's build and workflow files to ${node.name}, and start its agent again`,
      ),
    ];
  });
  return {
    ok: "no node has other code of a workflow than the hub",
    findings: [...stuckFor(["no_version"], facts), ...codeFaults(facts), ...differing],
  };
};

/** Nodes can use the code that they fetch. */
function codeFaults({ nodes }: Pick<DoctorFacts, "nodes">): Finding[] {
  return nodes.flatMap(({ name, facts }) => {
    const { data } = codeFact.safeParse(facts);
    return data?.code.fault
      ? [
          warn(
            name,
            `it cannot use code: ${data.code.fault.code}: ${data.code.fault.message}`,
            "do what the message says; the job ran, or will run, on another node",
          ),
        ]
      : [];
  });
}

/** The part of a node's facts that says whether it can use code. */
const codeFact = z.object({
  code: z.object({ fault: z.object({ code: z.string(), message: z.string() }).nullable() }),
});

function versionsOf(workflow: string, offered: readonly string[]): string[] {
  const prefix = `workflow:${workflow}@`;
  return offered.filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length));
}

/** Findings for jobs that waiting does not help, one for each need, with one of its jobs. */
function stuckFor(
  codes: readonly ReasonCode[],
  { jobs, nodes }: Pick<DoctorFacts, "jobs" | "nodes">,
): Finding[] {
  const views = nodes.map(toScoredNode);
  const known = new Set(nodes.map(({ name }) => name));
  const needs = new Map<string, DoctorFacts["jobs"][number]>();
  for (const job of jobs) {
    const need = JSON.stringify([job.requires, job.targetHost]);
    // Another check finds jobs that wait for an unknown node.
    if (job.targetHost === null || known.has(job.targetHost)) needs.set(need, job);
  }
  return [...needs.values()].flatMap((job) => {
    const { code, summary, fix } = explain({ requires: job.requires, host: job.targetHost }, views);
    if (!codes.includes(code)) return [];
    return [
      fail(
        `job ${job.id}`,
        `step ${job.step} of ${job.workflow}: ${summary}`,
        fix?.action ?? "change what the step requires",
      ),
    ];
  });
}
