import { createHash, randomBytes } from "node:crypto";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { canBrowse } from "./support/browser.ts";
import { type Dashboard, logIn, openDashboard } from "./support/dashboard.ts";
import type { System } from "./support/system.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** A file that cannot be read as code, beside the others. */
const BROKEN = "export const broken = 1;\nexport const sum = 1 +;\n";

describe.skipIf(!canBrowse)(
  "what a person asks first, in a browser (Chromium, or CHROMIUM_BIN)",
  () => {
    let folder: string;
    /** Files of the workflows: a hub reads its own folder again when something changes there. */
    let scratch: string;
    let dashboard: Dashboard;
    let system: System;
    let page: Page;

    beforeAll(async () => {
      scratch = await mkdtemp(path.join(tmpdir(), "loom-home-"));
      folder = await mkdtemp(path.join(HERE, ".workflows-"));
      await cp(path.join(HERE, "workflows"), folder, { recursive: true });
      await writeFile(path.join(folder, "broken.ts"), BROKEN);
      dashboard = await openDashboard({ workflows: pathToFileURL(`${folder}/`) });
      ({ system, page } = dashboard);
      await vi.waitUntil(() => system.queue.pauseSchedule("cross-node-smoke"), { timeout: 10_000 });
      await logIn(page, system);
      await page.getByText("live", { exact: true }).waitFor();
    });
    afterAll(async () => {
      await dashboard?.close();
      await rm(folder, { recursive: true });
      await rm(scratch, { recursive: true });
    });

    test("proposes the next step when nothing has run yet", async () => {
      const day = page.getByRole("region", { name: "The last day" });
      await day.getByText("No run ended").waitFor();
      await day.getByText("Choose a workflow above and press Run").waitFor();
      await day.getByText("npm run init -- ../my-workflows").waitFor();
      await page.goto(`${system.url}/runs`);
      await page.getByText("Nothing has run yet").waitFor();
    });

    test("shows after a reload which step failed, where and why, and repeats it", async () => {
      const file = path.join(scratch, "there");
      const { body } = await system.call("POST", "/strands/breaks/run", { input: { file } });
      await vi.waitUntil(
        async () => (await system.queue.getRun(String(body.runId))).status === "failed",
        { timeout: 10_000 },
      );
      await page.goto(system.url);
      const day = page.getByRole("region", { name: "The last day" });
      await day.getByRole("link", { name: "1 failed" }).waitFor();
      await day.getByText(`${file} is not there`).waitFor();
      await day.getByText(/failed on (oracle|pop-os)/).waitFor();
      const activity = page.getByRole("region", { name: "Activity" });
      await activity.getByText("breaks failed").waitFor();
      await activity.getByText(/breaks · work failed on/).waitFor();
      // Nothing runs: what happened comes before the map.
      const map = page.getByRole("region", { name: "The map" });
      const isFirst = async () => {
        // A run that ended while the page was opened stays on the map for a while.
        await page.reload();
        await day.waitFor();
        return isAbove(day, map);
      };
      await expect.poll(isFirst).toBe(true);

      await writeFile(file, "");
      await day.getByRole("button", { name: "Retry breaks" }).click();
      const cause = day.getByRole("listitem").filter({ hasText: "is not there" });
      await cause.getByText("repeated as").waitFor();
      await cause.getByText("succeeded").waitFor({ timeout: 15_000 });
      expect(await cause.getByRole("button").count()).toBe(0);
    });

    test("shows the map first while something runs", async () => {
      await system.startAgent("holder", ["can-hold"]);
      const { body } = await system.call("POST", "/strands/hold/run", {
        input: { folder: scratch },
      });
      const map = page.getByRole("region", { name: "The map" });
      const day = page.getByRole("region", { name: "The last day" });
      await expect.poll(() => isAbove(map, day)).toBe(true);
      await system.call("POST", `/runs/${String(body.runId)}/cancel`);
    });

    test("shows the times of a node's absence, and the missed times of a schedule", async () => {
      await system.sql`
      insert into public.loom_event_batches (type, node, at)
      values ('node.dead', 'pop-os', now() - interval '3 hours'), ('node.hello', 'pop-os', now() - interval '2 hours')`;
      await system.sql`
      insert into public.loom_schedule_slots (id, schedule_id, slot_at, decision, code, reason)
      select 'missed@' || hour, 'cross-node-smoke', now() - hour * interval '1 hour', 'missed', 'too_late', 'nobody looked'
        from generate_series(1, 2) as hour`;
      await page.goto(system.url);
      const day = page.getByRole("region", { name: "The last day" });
      await day.getByText(/^pop-os was away from .* to .* \(1 h\)$/).waitFor();
      await day.getByText(/^cross-node-smoke missed 2 times, .*: nobody looked$/).waitFor();
    });

    test("shows a waiting run as waiting, with the reason, on every page", async () => {
      const { body } = await system.call("POST", "/strands/needs-laser/run", {
        input: {},
        allowUnsatisfiable: true,
      });
      const reason = /no known node offers has-laser/;
      await page.goto(`${system.url}/runs`);
      const row = page.getByRole("row").filter({ hasText: "needs-laser" });
      await row.getByText("waiting").waitFor();
      await row.getByText(reason).waitFor();
      await page.goto(`${system.url}/runs/${String(body.runId)}`);
      await page.locator(".run-head").getByText("waiting").waitFor();
      await page.goto(system.url);
      const rail = page
        .getByRole("region", { name: "Runs" })
        .getByRole("link", { name: "needs-laser" });
      await rail.getByText("waiting").waitFor();
      await rail.getByText(reason).waitFor();
      await page.getByRole("link", { name: "0 runs under way" }).waitFor();
      await system.call("POST", `/runs/${String(body.runId)}/cancel`);
    });

    test("shows steps that do not depend on each other one above the other", async () => {
      await page.goto(`${system.url}/workflows`);
      const steps = page.getByRole("region", { name: "Steps of cross-node-smoke" });
      const boxOf = async (step: string) => {
        const box = await steps.getByTitle(step, { exact: true }).boundingBox();
        return box ?? Promise.reject(new Error(`${step} is not shown`));
      };
      const [remote, check, ssh] = [
        await boxOf("remote"),
        await boxOf("check"),
        await boxOf("ssh"),
      ];
      expect(check.x).toBe(ssh.x);
      expect(check.y).not.toBe(ssh.y);
      expect(remote.x).toBeLessThan(check.x);
    });

    test("shows a file that is broken, with the code around the place", async () => {
      const file = page.getByRole("region", { name: /broken\.ts is broken/ });
      await file.getByText("export const sum = 1 +;").waitFor();
      await file.getByText(/broken\.ts:2:/).waitFor();
      await page.goto(system.url);
      await page.getByRole("link", { name: "1 workflow file is broken" }).waitFor();
    });

    test("makes a token, shows it once, and revokes it", async () => {
      await page.goto(`${system.url}/settings`);
      await page.getByRole("button", { name: "Make a token" }).click();
      await page.getByRole("alert").getByText("Say what the token is for").waitFor();
      await page.getByLabel("Name").fill("laptop");
      await page.getByLabel("May").selectOption("read");
      await page.getByLabel("Ends after").selectOption("30 days");
      await page.getByRole("button", { name: "Make a token" }).click();
      const secret = page.getByRole("region", { name: "The token laptop" });
      const token = String(await secret.getByText(/^loom_/).textContent());
      const ask = (url: string, method = "GET") =>
        fetch(`${system.url}/api/loom${url}`, {
          method,
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        });
      expect((await ask("/nodes")).status).toBe(200);
      expect((await ask("/strands/hold/run", "POST")).status).toBe(403);
      await secret.getByRole("button", { name: "I have it" }).click();
      await page.getByText(token).waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Revoke laptop" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
      await page.getByRole("row").filter({ hasText: "laptop" }).getByText("revoked").waitFor();
      expect((await ask("/nodes")).status).toBe(401);
    });

    test("makes a token that may read, run and exec", async () => {
      await page.goto(`${system.url}/settings`);
      await page.getByLabel("Name").fill("terminal");
      await page.getByLabel("May").selectOption("exec");
      await page.getByRole("button", { name: "Make a token" }).click();
      const secret = page.getByRole("region", { name: "The token terminal" });
      const token = String(await secret.getByText(/^loom_/).textContent());
      const session = await fetch(`${system.url}/api/loom/session`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(await session.json()).toMatchObject({ scopes: ["read", "run", "exec"] });
    });

    test("makes the line for a machine, and ticks each step of its join", async () => {
      await page.goto(`${system.url}/nodes`);
      await page.getByRole("link", { name: "Add a machine" }).click();
      await page.getByLabel("Name").fill("Kitchen Pi");
      await page.getByRole("button", { name: "Make the line" }).click();
      await page
        .getByRole("alert")
        .getByText(/^Name must have only/)
        .waitFor();
      await page.getByLabel("Name").fill("kitchen");
      await page.getByLabel("It may offer").fill("can-hold, has-oven");
      await page.getByRole("button", { name: "Make the line" }).click();

      const line = String(await page.getByText(/^curl .*\/join \| .*sh$/).textContent());
      expect(line).toContain("LOOM_NODE_NAME=kitchen");
      const token = /LOOM_JOIN_TOKEN=(\S+)/.exec(line)?.[1];
      const key = `loomn_${randomBytes(32).toString("base64url")}`;
      const joined = await fetch(`${system.url}/api/loom/join`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          node: "kitchen",
          digest: createHash("sha256").update(key).digest("hex"),
          token,
        }),
      });
      const { database } = (await joined.json()) as { database: Record<string, string> };
      await page.getByRole("heading", { name: "kitchen has joined" }).waitFor();
      await page.getByText("It starts its agent").waitFor();
      await system.startAgent("kitchen", ["can-hold", "has-sink"], {
        env: {
          LOOM_NODE_KEY: key,
          SUPABASE_URL: database.url ?? "",
          SUPABASE_PUBLISHABLE_KEY: database.publishableKey ?? "",
        },
      });
      await page.getByText("It answers, done").waitFor();
      await page.getByRole("button", { name: "Allow has-sink" }).click();
      await page.getByText("kitchen asks to offer").waitFor({ state: "detached" });
      await writeFile(path.join(scratch, "go"), "");
      await system.call("POST", "/jobs", {
        jobs: [{ workflow: "hold", step: "work", host: "kitchen", input: { folder: scratch } }],
      });
      await page.getByText("It ran hold · work, done").waitFor();
    });

    test("says that a line has expired, and makes a new one for the same machine", async () => {
      await page.getByRole("button", { name: "Add another machine" }).click();
      await page.getByLabel("Name").fill("attic");
      await page.getByRole("button", { name: "Make the line" }).click();
      const line = page.getByText(/^curl .*LOOM_NODE_NAME=attic .*sh$/);
      const first = await line.textContent();
      await system.sql`update public.loom_join_tokens set expires_at = now() where node = 'attic'`;
      await page.getByRole("alert").getByText("The line has expired").waitFor({ timeout: 15_000 });
      await page.getByRole("button", { name: "Make a new line" }).click();
      expect(await line.textContent()).not.toBe(first);
      // A person who has left the page can still revoke the line.
      await page.getByRole("button", { name: "Start over" }).click();
      await page.getByRole("button", { name: "Revoke the line for attic" }).click();
      await page
        .getByRole("button", { name: "Revoke the line for attic" })
        .waitFor({ state: "detached" });
    });
  },
);

type Place = Pick<ReturnType<Page["locator"]>, "boundingBox">;

async function isAbove(one: Place, other: Place): Promise<boolean> {
  const [above, below] = [await one.boundingBox(), await other.boundingBox()];
  return above !== null && below !== null && above.y < below.y;
}
