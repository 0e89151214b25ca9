import type { PlannedJob } from "@loom/workflow";
import { untilOverOrBlocked } from "../lab.ts";
import { type Provocation, start } from "../provocation.ts";

const approval: NonNullable<PlannedJob["wait"]> = {
  ...{ kind: "approval", title: "Go on?", who: [], timeoutMs: null, onTimeout: "fail" },
  ...{ inputSchema: null, defaultInput: null },
};

/** A step sleeps, and is cancelled before its time; another one begins to sleep when its condition has decided. */
export const sleepsInPeace: Provocation = async (lab, name) => {
  const sleep = { kind: "sleep", forMs: 3_600_000, until: null } as const;
  const steps = [
    { step: "a", wait: sleep },
    { step: "b", wait: sleep, hasCondition: true },
  ];
  const runId = await start(lab, name, steps);
  for (const { id, fence } of await lab.queue.takeConditions()) {
    await lab.queue.recordConditions([{ id, fence, outcome: "runs" }]);
  }
  await lab.queue.endWaits();
  await lab.queue.cancelRun(runId);
};

/** A wait is over while its run is being cancelled. */
export const wokenWhileCancelled: Provocation = async (lab, name) => {
  const runId = await start(lab, name, [
    { step: "a", wait: { kind: "sleep", forMs: null, until: "2020-01-01T00:00:00Z" } },
  ]);
  await using cancelling = await lab.begin();
  await cancelling.queue.cancelRun(runId);
  const ending = lab.queue.endWaits();
  await untilOverOrBlocked(lab, ending);
  await cancelling.commit();
  await ending;
};

/** A person decides who may not, and one who may decides about something else than what was shown. */
export const decidedUnseen: Provocation = async (lab, name) => {
  const runId = await start(lab, name, [{ step: "a", wait: { ...approval, who: ["ben"] } }]);
  const [asked] = (await lab.queue.listApprovals({ runId })).approvals;
  if (!asked) throw new Error("nothing was asked");
  const { id, digest } = asked;
  for (const [by, seen] of [
    ["ada", digest],
    ["ben", "0".repeat(64)],
  ] as const) {
    // Both are refused.
    await lab.queue
      .decideApproval(id, { decision: "approved", digest: seen, by, names: [by] })
      .catch(() => undefined);
  }
  await lab.queue.cancelRun(runId);
};

/** A signal comes before two steps wait for it, one after the other. */
export const sentBefore: Provocation = async (lab, name) => {
  const wait: PlannedJob["wait"] = {
    ...{ kind: "signal", event: "before", key: name, timeoutMs: null, parses: false },
  };
  await lab.queue.sendSignal({ event: "before", key: name });
  await lab.queue.endWaits();
  await start(lab, name, [{ step: "a", wait }]);
  await lab.queue.endWaits();
  const second = await start(lab, name, [{ step: "b", wait }]);
  await lab.queue.endWaits();
  await lab.queue.cancelRun(second);
};

/** Two people decide the same, differently; and a signal comes twice for one step. */
export const decidedByTwo: Provocation = async (lab, name) => {
  const runId = await start(lab, name, [{ step: "a", wait: approval }]);
  const [asked] = (await lab.queue.listApprovals({ runId })).approvals;
  if (!asked) throw new Error("nothing was asked");
  const { id, digest } = asked;
  for (const decision of ["approved", "rejected"] as const) {
    const by = `token ${decision}`;
    // The second one is refused.
    await lab.queue.decideApproval(id, { decision, digest, by, names: [] }).catch(() => undefined);
  }
  const signal = {
    kind: "signal",
    event: "came",
    key: name,
    timeoutMs: null,
    parses: false,
  } as const;
  await start(lab, name, [{ step: "b", wait: signal }]);
  await lab.queue.sendSignal({ event: "came", key: name });
  await lab.queue.sendSignal({ event: "came", key: name });
  await lab.queue.endWaits();
  await lab.queue.endWaits();
};
