/** Steps that wait for the same: what they need, and why no node has them. */
export interface WaitingGroup<Job> {
  key: string;
  requires: readonly string[];
  reason: string | null;
  jobs: Job[];
}

/** Steps by what they need and why they wait; the largest group first. */
export function groupWaiting<Job extends { requires: readonly string[] }>(
  jobs: Iterable<Job>,
  reasonOf: (job: Job) => string | null,
): WaitingGroup<Job>[] {
  const groups = new Map<string, WaitingGroup<Job>>();
  for (const job of jobs) {
    const reason = reasonOf(job);
    const key = JSON.stringify([job.requires, reason]);
    const group = groups.get(key) ?? { key, requires: job.requires, reason, jobs: [] };
    group.jobs.push(job);
    groups.set(key, group);
  }
  return [...groups.values()].sort((one, other) => other.jobs.length - one.jobs.length);
}
