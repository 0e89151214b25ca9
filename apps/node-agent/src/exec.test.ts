import { networkInterfaces } from "node:os";
import type { Log } from "@loom/worker";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import type { Env } from "./env.ts";
import { openExec } from "./exec.ts";

const log: Log = pino({ level: "silent" });
const [own = ""] = Object.values(networkInterfaces())
  .flatMap((each = []) => each)
  .map(({ address, family }) => (family === "IPv6" ? `[${address.replace(/%.*/, "")}]` : address));

/** Opens the gate of a machine whose owner wants every command, of a hub at this address. */
function open(hubUrl: string, options: Partial<Parameters<typeof openExec>[1]> = {}) {
  const stopping = new AbortController();
  onTestFinished(() => stopping.abort());
  const env = {
    LOOM_EXEC: { kind: "any" },
    LOOM_EXEC_ON_HUB: false,
    LOOM_CODE_KEY: "x".repeat(43),
    SUPABASE_URL: "http://192.0.2.7:54321",
  } as unknown as Env;
  const { signal } = stopping;
  return openExec(env, {
    hubUrl,
    hasFiles: true,
    variables: {},
    log,
    signal,
    onOpen() {},
    ...options,
  });
}

test.each([
  "http://127.0.0.1:3000",
  "http://127.9.9.9:3000",
  "http://[::1]:3000",
  "http://[::]:3000",
  "http://0.0.0.0:3000",
  "http://[::ffff:127.0.0.1]:3000",
  "http://localhost:3000",
  `http://${own}:3000`,
])("an agent whose hub is at %s is on the hub's machine, and runs no commands", async (url) => {
  expect((await open(url)).capabilities).toEqual([]);
});

test("an agent whose hub is elsewhere runs them", async () => {
  expect((await open("http://192.0.2.1:3000")).capabilities).toEqual(["exec"]);
});

test("a hub whose name has no address may be here: commands run once it has one elsewhere", async () => {
  const answers = [[], [], ["192.0.2.1"]];
  const opened = Promise.withResolvers<void>();
  const gate = await open("http://hub:3000", {
    resolve: async () => answers.shift() ?? [],
    lookUpAgainMs: 1,
    onOpen: opened.resolve,
  });
  expect(gate.capabilities).toEqual([]);
  await opened.promise;
  expect(gate.capabilities).toEqual(["exec"]);
});

test("a hub whose name has the address of this machine later stays closed", async () => {
  const answers = [[], ["127.0.0.1"]];
  const warned = Promise.withResolvers<string>();
  const warn = (_: object, text: string) => {
    if (text.includes("own machine,")) warned.resolve(text);
  };
  const gate = await open("http://hub:3000", {
    resolve: async () => answers.shift() ?? [],
    lookUpAgainMs: 1,
    log: { ...log, warn } as unknown as Log,
  });
  await warned.promise;
  expect(gate.capabilities).toEqual([]);
});
