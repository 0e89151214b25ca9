import { type HubClient, HubError } from "@loom/client";
import { CliError, unknownName } from "../errors.ts";
import { shortId } from "../output/text.ts";

const RUN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** The beginning of a run's id. */
const PREFIX = /^[0-9a-f]{4,8}(?:-[0-9a-f-]*)?$/;
/** How many of the newest runs a prefix is looked for in. */
const NEWEST = 200;

/** What a word on the command line names. */
export type Subject =
  | { kind: "run"; id: string }
  | { kind: "job"; id: number }
  | { kind: "workflow"; name: string };

/**
 * Finds a run by its id, or by the first characters of it as lists print them.
 *
 * @throws CliError `RUN_NOT_FOUND`, `AMBIGUOUS_ID`.
 */
export async function findRun(hub: HubClient, text: string): Promise<string> {
  const word = text.trim().toLowerCase();
  if (RUN_ID.test(word)) return word;
  const { data } = await hub.listRuns({ limit: NEWEST });
  const found = PREFIX.test(word) ? data.filter(({ id }) => id.startsWith(word)) : [];
  const [run, ...others] = found;
  if (run === undefined) {
    throw unknownName("RUN_NOT_FOUND", {
      what: `there is no run ${text} among the newest ${NEWEST}`,
      name: word,
      known: data.map(({ id }) => shortId(id)),
      argv: process.argv.slice(2),
      list: "loom runs",
    });
  }
  if (others.length > 0) {
    throw new CliError("AMBIGUOUS_ID", {
      what: `${found.length} runs begin with ${text}`,
      why: found.map(({ id, workflow }) => `${id} (${workflow})`).join(", "),
      fix: "give more characters of the id",
    });
  }
  return run.id;
}

/**
 * Finds what a word names: a job by its number, a run by its id, or else a workflow.
 *
 * @throws CliError `RUN_NOT_FOUND`, `AMBIGUOUS_ID`; HubError `UNKNOWN_WORKFLOW`.
 */
export async function findSubject(hub: HubClient, text: string): Promise<Subject> {
  if (/^\d{1,15}$/.test(text)) {
    const id = Number(text);
    const isJob = await hub.getJob(id).then(
      () => true,
      (error: unknown) => {
        // A run's id may begin with digits alone.
        if (error instanceof HubError && error.status === 404 && text.length >= 4) return false;
        throw error;
      },
    );
    return isJob ? { kind: "job", id } : { kind: "run", id: await findRun(hub, text) };
  }
  if (RUN_ID.test(text)) return { kind: "run", id: text };
  const { data } = await hub.listStrands();
  if (data.some(({ name }) => name === text)) return { kind: "workflow", name: text };
  if (PREFIX.test(text)) {
    const { data: runs } = await hub.listRuns({ limit: NEWEST });
    if (runs.some(({ id }) => id.startsWith(text))) {
      return { kind: "run", id: await findRun(hub, text) };
    }
  }
  throw unknownName("UNKNOWN_WORKFLOW", {
    what: `"${text}" is neither a run, nor a job, nor a workflow`,
    name: text,
    known: data.map(({ name }) => name),
    argv: process.argv.slice(2),
    list: "loom workflow ls",
  });
}
