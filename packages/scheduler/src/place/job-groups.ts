import { createInterner } from "./interner.ts";

/** A rule that says which jobs it need not tell apart. */
interface Keyed<Job> {
  readonly key: (job: Job) => string;
}

/** Jobs that no keyed rule tells apart are one group. */
export interface JobGroups<Job, Rule> {
  /** By index of the job. */
  readonly groupOf: Int32Array;
  /** One job of each group, and how many the group has. */
  readonly groups: readonly { readonly job: Job; size: number }[];
  /** Each rule with one job of each of its keys. */
  readonly questions: readonly { readonly rule: Rule; readonly samples: readonly Job[] }[];
}

/** Groups jobs by the keys that rules give them. */
export function groupJobs<Job, Rule extends Keyed<Job>>(
  jobs: readonly Job[],
  rules: readonly Rule[],
): JobGroups<Job, Rule> {
  const interner = createInterner();
  const questions = rules.map((rule) => ({ rule, seen: new Set<string>(), samples: [] as Job[] }));
  const groups: { job: Job; size: number }[] = [];
  const groupAt = new Map<number, number>();
  const groupOf = new Int32Array(jobs.length);
  for (const [index, job] of jobs.entries()) {
    let at = 0;
    for (const question of questions) {
      const key = question.rule.key(job);
      at = interner.next(at, key);
      if (question.seen.has(key)) continue;
      question.seen.add(key);
      question.samples.push(job);
    }
    const known = groupAt.get(at);
    const group = known ?? groups.push({ job, size: 0 }) - 1;
    if (known === undefined) groupAt.set(at, group);
    (groups[group] as { size: number }).size += 1;
    groupOf[index] = group;
  }
  return { groupOf, groups, questions };
}
