import { constants } from "node:os";
import type { Run } from "@loom/client";
import { type ExecCommand, outputsOf } from "@loom/workflow/exec";
import type { Cli } from "../cli.ts";
import { createNotice } from "../commands/run.ts";
import { followRun } from "../hub/follow-run.ts";
import { createLogWriter, type LogWriter } from "../output/log-writer.ts";
import { clean, shortId } from "../output/text.ts";
import { createArrayView } from "./array-view.ts";
import { exitOfRun } from "./exit.ts";

/** Events after which a command waits; their detail says why. */
const HELD_UP: ReadonlySet<string> = new Set(["job.waiting", "job.declined", "job.requeued"]);
/** How long a command may take to begin until this program asks why. */
const ASK_AFTER_MS = 1_500;

const isWaiting = (state: string | null) => state === "waiting" || state === "pending";

/**
 * Prints what a run of commands writes, until it has ended.
 *
 * Ctrl-C cancels the run, as it would end a local command; a second one leaves it running, and so does the end of the
 * terminal. A closed pipe (`| head`) cancels a command that this program started.
 *
 * @param options.isOwn - Whether this program started it.
 * @param options.out - Whether to bring back what the commands make; undefined: if this caller has started them. Whoever starts a
 *   command names the files, and could name one that does harm in this folder. If they fail, it is tried, and their exit code counts.
 * @returns The exit code: the command's own, of an array the highest.
 */
export async function attach(
  cli: Cli,
  { id }: Pick<Run, "id">,
  { isOwn, force, out }: { isOwn: boolean; force: boolean; out: boolean | undefined },
): Promise<number> {
  const { client } = cli.hub();
  const run = await client.getRun(id);
  const makes = Boolean((run.input as Partial<ExecCommand> | null)?.out?.length);
  const brings = makes && (out ?? (await client.getSession()).who === run.askedBy);
  if (makes && !brings && out === undefined) {
    cli.note(
      `what it makes stays with the run, because ${clean(run.askedBy ?? "nobody known")} started it; put it into this folder: loom attach --out ${shortId(id)}`,
    );
  }
  if (brings && !isOwn) {
    const { checkPlaces } = await import("./files.ts");
    await checkPlaces(outputsOf(run.input as unknown as ExecCommand), { force });
  }
  const isArray = run.steps.length > 1 || run.steps[0]?.step !== "command";
  const view = isArray && !cli.json ? createArrayView(cli, run) : undefined;
  const stopping = new AbortController();
  const signals = onSignals(cli, id);
  if (isOwn) cli.beforePipeEnd = async () => void (await client.cancelRun(id));
  let said: string | null = null;
  const say = (reason: string | null | undefined) => {
    if (!reason || reason === said) return;
    said = reason;
    cli.note(`it waits: ${clean(reason)} (loom why ${shortId(id)})`);
  };
  const askWhy = async () => {
    const asked = await client.getRun(id).catch(() => undefined);
    say(asked?.steps[0]?.waitingReason?.summary);
  };
  // What happened before this program listened brings no event.
  const asking = cli.json || isArray ? undefined : setTimeout(() => void askWhy(), ASK_AFTER_MS);
  const writers = new Map<number, LogWriter>();
  const writerOf = (job: number, step: string) => {
    const writer = writers.get(job) ?? createLogWriter(cli, isArray ? labelOf(step) : undefined);
    writers.set(job, writer);
    return writer;
  };
  let ended: Run;
  try {
    ended = await followRun(client, id, {
      signal: stopping.signal,
      isEager: !isArray,
      onConnection: createNotice(cli),
      async onLog({ job, step }, log) {
        if (cli.json) return cli.printJson({ log: { job, step, ...log } });
        const writer = writerOf(job, step);
        await (view ? view.around(() => writer.write(log.text)) : writer.write(log.text));
      },
      onLogEnd: async ({ job, step }) => {
        const writer = writerOf(job, step);
        await (view ? view.around(() => writer.end()) : writer.end());
      },
      onEvent(event, step) {
        if (step && event.state) view?.note(step.job, event.state);
        if (cli.json || isArray) return;
        if (HELD_UP.has(event.type)) say(event.detail);
        // It was given back; the reason is with the step, and no event has it.
        else if (event.type === "job.settled" && isWaiting(event.state)) void askWhy();
      },
    });
    view?.end(ended);
    if (cli.json) cli.printJson({ run: ended });
  } finally {
    clearTimeout(asking);
    signals.release();
  }
  const code = exitOfRun(cli, ended, { isArray, wasCancelled: signals.wasCancelled() });
  if (!brings) return code;
  try {
    const { bringBack } = await import("./files.ts");
    await bringBack(cli, ended, { force });
  } catch (error) {
    if (code === 0) throw error;
    const why = error instanceof Error ? error.message : String(error);
    cli.note(`loom: what it made is with the run: loom files ${shortId(id)} (${clean(why)})`);
  }
  return code;
}

const labelOf = (step: string): string => step.replace(/^command-/, "");

/** Reacts to Ctrl-C, to SIGTERM and to the end of the terminal, until it is released. */
function onSignals(cli: Cli, id: string) {
  const { client } = cli.hub();
  let cancelling: NodeJS.Signals | undefined;
  const detach = (signal: NodeJS.Signals) => {
    if (signal !== "SIGHUP") cli.note(`\nit goes on; follow it: loom attach ${shortId(id)}`);
    process.exit(128 + constants.signals[signal]);
  };
  const cancel = (signal: NodeJS.Signals) => {
    if (cancelling) return detach(signal);
    cancelling = signal;
    client.cancelRun(id).then(
      () => {},
      (error: Error) => {
        cli.note(`loom: it was not cancelled: ${clean(error.message)}`);
        cancelling = undefined;
      },
    );
  };
  const reactions = { SIGINT: cancel, SIGTERM: cancel, SIGHUP: detach } as const;
  for (const [signal, react] of Object.entries(reactions)) process.on(signal, react);
  return {
    wasCancelled: () => cancelling !== undefined,
    release() {
      for (const [signal, react] of Object.entries(reactions)) process.off(signal, react);
    },
  };
}
