import type { CallRule } from "../call-rule.ts";
import { answered, type RecordedCall } from "../recorded-call.ts";
import type { Finding } from "../violation.ts";

/** What a call with or without a key was answered. */
interface Named {
  key: string | null;
  id: number | string;
  returned: "created" | "existing";
}

const named = (calls: readonly RecordedCall[]): Named[] => [
  ...answered(calls, "enqueue").flatMap(({ args: [jobs], answer }) =>
    answer.map(({ id, returned }, index) => {
      const { workflow = "", key } = jobs[index] ?? {};
      return { key: key === undefined ? null : `job ${key} of ${workflow}`, id, returned };
    }),
  ),
  ...answered(calls, "startRun").map(({ args: [plan, options], answer }) => ({
    key: options?.key === undefined ? null : `run ${options.key} of ${plan.workflow}`,
    id: answer.runId,
    returned: answer.returned,
  })),
];

/** A key names one job or run of its workflow, created once; and what is created is new. */
export const keyNamesOne: CallRule = function* (calls) {
  const answers = named(calls);
  for (const [key, of] of Map.groupBy(answers, (answer) => answer.key)) {
    const ids = new Set(of.map(({ id }) => id));
    if (key !== null && ids.size > 1) {
      yield about([...ids][0], `${key} names ${[...ids].join(" and ")}`);
    }
  }
  const created = answers.filter(({ returned }) => returned === "created");
  for (const [id, of] of Map.groupBy(created, (answer) => answer.id)) {
    if (of.length > 1) yield about(id, `it was created ${of.length} times`);
  }
};

const about = (id: number | string | undefined, message: string): Finding => ({
  message,
  ...(typeof id === "number" && { jobId: id }),
  ...(typeof id === "string" && { runId: id }),
});

/** An epoch of a node belongs to one start of one agent. */
export const epochNamesOneAgent: CallRule = function* (calls) {
  const opened = answered(calls, "hello").map(({ args: [{ name, incarnation }], answer }) => ({
    epoch: `epoch ${answer.epoch} of ${name}`,
    incarnation,
  }));
  for (const [epoch, of] of Map.groupBy(opened, (session) => session.epoch)) {
    const agents = new Set(of.map(({ incarnation }) => incarnation));
    if (agents.size > 1) yield { message: `${epoch} was given to ${[...agents].join(" and ")}` };
  }
};
