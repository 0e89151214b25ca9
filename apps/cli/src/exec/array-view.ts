import type { Run } from "@loom/client";
import type { Cli } from "../cli.ts";
import { exitOfStep } from "./exit.ts";

/** What a person sees of an array of commands beside their output. */
export interface ArrayView {
  /** A command has another state now. */
  note(job: number, state: string): void;
  /** Writes output, with the line of counts out of its way. */
  around(write: () => Promise<void>): Promise<void>;
  /** Says how all of them ended. */
  end(run: Run): void;
}

const CLEAR = "\r\u001b[K";

/** The line of counts is kept up to date on a terminal; elsewhere only the end is said. */
export function createArrayView(cli: Cli, { steps }: Run): ArrayView {
  const states = new Map(steps.map(({ id, state }) => [id, state as string]));
  const { stderr } = process;
  const isLive = stderr.isTTY === true;
  let shown = "";

  function counts(): string {
    const number = (...wanted: string[]) =>
      [...states.values()].filter((state) => wanted.includes(state)).length;
    const parts = [
      [number("running"), "running"],
      [number("waiting", "pending", "blocked"), "waiting"],
      [number("failed"), "failed"],
      [number("cancelled", "skipped"), "cancelled"],
    ].filter(([count]) => count !== 0);
    const done = `${number("succeeded")} of ${states.size} done`;
    return [done, ...parts.map((part) => part.join(" "))].join(", ");
  }

  function draw(): void {
    if (!isLive) return;
    shown = counts().slice(0, (stderr.columns || 80) - 1);
    stderr.write(`${CLEAR}${shown}`);
  }

  function wipe(): void {
    if (shown !== "") stderr.write(CLEAR);
    shown = "";
  }

  draw();
  return {
    note(job, state) {
      if (!states.has(job)) return;
      states.set(job, state);
      draw();
    },

    async around(write) {
      wipe();
      await write();
      draw();
    },

    end(run) {
      wipe();
      for (const { id, state } of run.steps) states.set(id, state);
      cli.note(counts());
      const failed = run.steps.filter(({ state }) => state === "failed");
      const byExit = Map.groupBy(failed, (step) => exitOfStep(step, false));
      for (const [exit, group] of [...byExit].sort(([one], [other]) => other - one)) {
        const names = group.map(({ step }) => step.replace(/^command-/, ""));
        const list = names.slice(0, 20).join(", ") + (names.length > 20 ? ", …" : "");
        cli.note(`exit ${exit}: ${list}`);
      }
      if (failed.length > 0) cli.note(`repeat what failed: loom retry ${run.id.slice(0, 8)}`);
    },
  };
}
