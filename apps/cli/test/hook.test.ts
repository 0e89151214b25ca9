import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { AttemptOutcome, Queue } from "@loom/queue";
import { describe, expect } from "vitest";
import { test } from "./fixtures.ts";

/** Ends the first attempt of the next message, as a hub that leads does. */
async function endAttempt(queue: Queue, outcome: AttemptOutcome): Promise<void> {
  const { epoch } = await queue.lead("one", 3_600_000);
  for (;;) {
    const [taken] = (await queue.takeDeliveries({ epoch, busy: [] })).deliveries;
    if (taken) return void (await queue.recordDelivery(taken, outcome));
  }
}

describe("hook", { timeout: 120_000 }, () => {
  test("takes the address from standard input, prints a made secret alone, and shows neither again", async ({
    loom,
    queue,
  }) => {
    const made = await loom(
      ["hook", "add", "chat", "--on", "approval.asked,run.failed", "--webhook"],
      {
        input: "https://example.org:8443/geheim\n",
      },
    );
    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(/^whsec_[A-Za-z0-9+/=]+\n$/);
    expect(made.stderr).toContain("loom hook test chat");
    const mail = ["--server", "smtps://mail.example.org", "--from", "l@example.org"];
    const options = [...mail, "--to", "a@example.org, b@example.org", "--user", "ada"];
    const more = ["--on", "step.waiting", "--waiting", "1h", "--for", "visit"];
    await loom(["hook", "add", "mail", "--email", ...options, ...more], { input: "geheim\n" });
    expect(await queue.listHooks()).toMatchObject([
      { name: "chat", rules: ["approval.asked", "run.failed"] },
      {
        name: "mail",
        workflows: ["visit"],
        waitingMs: 3_600_000,
        target: { to: ["a@example.org", "b@example.org"] },
      },
    ]);
    const { stdout } = await loom(["hook", "ls"]);
    expect(stdout).toMatch(/^HOOK +ON +WORKFLOWS +TARGET/);
    expect(stdout).toContain("webhook https://example.org:8443");
    expect(stdout).not.toContain("geheim");
    // Without a rule, it is for the workflows that name it.
    await loom(["hook", "add", "named", "--slack"], {
      input: "https://hooks.example.org/geheim\n",
    });
    expect((await loom(["hook", "ls"])).stdout).toMatch(/^named +as workflows say +all/m);
    expect((await loom(["hook", "disable", "mail"])).stderr).toBe("mail is disabled\n");
    expect((await loom(["hook", "rm", "mail"])).stderr).toBe("mail is removed\n");
  });

  test("asks for the address on a terminal, and shows nothing of it", async ({
    terminal,
    queue,
  }) => {
    const opened = terminal(["hook", "add", "phone", "--on", "run.failed", "--ntfy"]);
    await opened.shows(/address: /);
    opened.type("https://ntfy.sh/geheim\r");
    await opened.shows(/access token \(none\): /);
    opened.type("\r");
    expect(await opened.exit()).toBe(0);
    expect(opened.screen()).not.toContain("geheim");
    expect(await queue.listHooks()).toMatchObject([
      { name: "phone", target: { kind: "ntfy", address: "https://ntfy.sh" } },
    ]);
  });

  test("says whether a test message arrived, lists it, and sends it again", async ({
    loom,
    start,
    queue,
  }) => {
    await loom(["hook", "add", "chat", "--on", "run.failed", "--slack"], {
      input: "https://hooks.example.org/geheim",
    });
    const during = async (args: string[], outcome: AttemptOutcome) => {
      const child = start(args);
      const said = child.stderr ? text(child.stderr) : Promise.resolve("");
      await endAttempt(queue, outcome);
      const [code] = await once(child, "exit");
      return { code, said: await said };
    };
    const bad = { tookMs: 7, status: 404, error: "it answered 404", answer: "no_team" };
    expect(await during(["hook", "test", "chat"], bad)).toEqual({
      code: 1,
      said: "it did not arrive: it answered 404; see loom hook deliveries chat\n",
    });
    const good = { tookMs: 7, status: 200, answer: "ok" };
    expect(await during(["hook", "test", "chat"], good)).toEqual({
      code: 0,
      said: "it arrived: 200 ok, after 7 ms\n",
    });
    const listed = await loom(["hook", "deliveries", "chat"]);
    expect(listed.stdout).toMatch(/delivered +1 +200 ok +Test of chat\n/);
    expect(listed.stdout).toMatch(/pending +1 +404 it answered 404 +Test of chat\n/);
    const [id = ""] = /^[0-9a-f-]{36}(?=.*delivered)/m.exec(listed.stdout) ?? [];
    expect(await during(["hook", "redeliver", "chat", id], good)).toMatchObject({ code: 0 });
  });
});
