import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type HeldItem, REAPER, toLine } from "../src/process/reaper.ts";

/** Tells a reaper these items, lets it release some, and waits for the end of it. */
async function reap(items: readonly HeldItem[], released: readonly number[] = []) {
  const reaper = spawn("/bin/sh", ["-c", REAPER], { stdio: ["pipe", "ignore", "inherit"] });
  const ended = once(reaper, "exit");
  for (const [id, item] of items.entries()) reaper.stdin.write(toLine({ id, item }));
  for (const id of released) reaper.stdin.write(toLine({ id, item: null }));
  reaper.stdin.end();
  expect(await ended).toEqual([0, null]);
}

/** A leader of a process group that has said a line. */
async function startLeader(
  script: string,
): Promise<{ child: ChildProcess; ended: Promise<unknown> }> {
  const child = spawn("/bin/sh", ["-c", script], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  await once(child.stdout, "data");
  return { child, ended };
}

const held = ({ pid = 0 }: ChildProcess, graceMs: number): HeldItem => ({
  ...{ kind: "process", pid, stopSignal: "SIGINT", graceMs },
});

test("removes its recorded folders, whatever their names contain, and no released one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "loom-reaper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const paths = ["plain", " two  words ", "a\\nb", "line\nend\n", "*", "$(id)'\"", "é", "-rf"].map(
    (name) => join(folder, name),
  );
  for (const path of [...paths, join(folder, "other")])
    mkdirSync(join(path, "deep"), { recursive: true });
  const items = [...paths, join(folder, "other")].map(
    (path): HeldItem => ({ kind: "directory", path }),
  );
  await reap(items, [1, items.length - 1, 99]);
  expect([...paths, join(folder, "other")].filter((path) => existsSync(path))).toEqual([
    paths[1],
    join(folder, "other"),
  ]);
});

test("asks a process with its stop signal, and kills it when its grace is over", async () => {
  const polite = await startLeader("trap 'exit 7' INT; echo up; while :; do sleep 0.01; done");
  const stubborn = await startLeader("trap '' INT; echo up; while :; do sleep 0.01; done");
  await reap([held(polite.child, 10_000), held(stubborn.child, 60)]);
  expect(await polite.ended).toEqual([7, null]);
  expect(await stubborn.ended).toEqual([null, "SIGKILL"]);
});
