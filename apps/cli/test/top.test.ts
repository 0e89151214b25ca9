import { describe, expect } from "vitest";
import { test } from "./fixtures.ts";

describe("loom top", { timeout: 120_000 }, () => {
  test("draws machines, runs and what waits, and leaves the screen as it was", async ({
    made,
    terminal,
    loom,
  }) => {
    await made.nodes();
    const id = await made.run("visit");
    const top = terminal(["top", "--every", "200ms"]);
    await top.shows(/2 nodes, 0 of 20 slots busy, 1 runs, 1 jobs wait/);
    await top.shows(
      new RegExp(`${id.slice(0, 8)} +visit +1 waiting, 1 blocked|${id.slice(0, 8)} +visit`),
    );
    await loom(["node", "pause", "tower", "--note", "lunch"]);
    await top.shows(/tower .*paused.* lunch/);
    top.type("q");
    expect(await top.exit()).toBe(0);
    expect(top.screen()).toContain("\u001b[?1049h");
    expect(top.screen().trimEnd().endsWith("\u001b[?25h\u001b[?1049l")).toBe(true);
  });

  test("prints it once where no terminal is", async ({ made, loom }) => {
    await made.nodes();
    const { code, stdout } = await loom(["top"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^2 nodes, 0 of 20 slots busy, 0 runs, 0 jobs wait\n\npi +active/);
    expect(stdout).not.toContain("\u001b");
  });
});
