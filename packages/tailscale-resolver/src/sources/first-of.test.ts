import { describe, expect, test, vi } from "vitest";
import { AllSourcesFailedError, SourceError } from "../errors.ts";
import type { Source } from "../source.ts";
import { firstOf } from "./first-of.ts";
import { staticSource } from "./static.ts";

const failing = (name: string, message: string): Source => ({
  name,
  read: async () => {
    throw new SourceError(message, { code: "DAEMON_ABSENT", source: name });
  },
});
const list = staticSource({ anvil: "127.0.0.1" });

describe("firstOf", () => {
  test("takes the first answer, and asks no source after it", async () => {
    const last = { name: "last", read: vi.fn<Source["read"]>() };
    const source = firstOf([failing("socket", "no socket"), list, last]);
    expect(await source.read()).toMatchObject({ source: "static" });
    expect(last.read).not.toHaveBeenCalled();
    expect(source.name).toBe("first-of(socket, static, last)");
  });

  test("counts a stopped daemon as an answer", async () => {
    const stopped = { ...(await list.read()), source: "stopped", state: "Stopped" };
    const source = firstOf([{ name: "stopped", read: async () => stopped }, list]);
    expect(await source.read()).toBe(stopped);
  });

  test("lists every failure when all fail", async () => {
    const failure = firstOf([failing("socket", "no socket"), failing("cli", "no command")]).read();
    await expect(failure).rejects.toBeInstanceOf(AllSourcesFailedError);
    await expect(failure).rejects.toMatchObject({
      code: "ALL_SOURCES_FAILED",
      errors: [{ source: "socket" }, { source: "cli" }],
      message: expect.stringMatching(/\n- socket: no socket\n- cli: no command$/),
    });
  });

  test("lists the failures of a nested firstOf with those of the outer one", async () => {
    const inner = firstOf([failing("socket", "no socket"), failing("cli", "no command")]);
    await expect(firstOf([inner, failing("list", "no list")]).read()).rejects.toMatchObject({
      failures: [{ source: "socket" }, { source: "cli" }, { source: "list" }],
      message: expect.stringMatching(/\n- socket: .*\n- cli: .*\n- list: no list$/),
    });
  });

  test("asks no further source after the signal aborted", async () => {
    const stop = new AbortController();
    const first: Source = {
      name: "first",
      read: async () => {
        stop.abort(new Error("called off"));
        throw stop.signal.reason;
      },
    };
    const second = { name: "second", read: vi.fn<Source["read"]>() };
    const read = firstOf([first, second]).read({ signal: stop.signal });
    await expect(read).rejects.toThrow("called off");
    expect(second.read).not.toHaveBeenCalled();
  });

  test("refuses an empty list of sources", () => {
    expect(() => firstOf([])).toThrow(TypeError);
  });
});
