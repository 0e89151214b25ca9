// Usage: npm run screenshots [-- folder]
//
// Starts a hub and four agents on this machine, gives them work, and takes the pictures of the documentation:
// every page in both themes at two widths, from what really happens.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { buildDashboard } from "@loom/dashboard/build";
import { openBrowser } from "../support/browser.ts";
import { logIn } from "../support/dashboard.ts";
import { startSystem } from "../support/system.ts";

/** The pictures of the documentation; with another folder, every page. */
const KEPT = new Set(
  ["loom", "run", "explain"].flatMap((page) => [`${page}-wide-light`, `${page}-wide-dark`]),
);
const folder = process.argv[2] ?? fileURLToPath(new URL("../../docs/pictures", import.meta.url));
mkdirSync(folder, { recursive: true });

const SIZES = { wide: { width: 1440, height: 900 }, narrow: { width: 360, height: 740 } } as const;

await buildDashboard();
const system = await startSystem({ workflows: new URL("./workflows", import.meta.url) });
const browser = await openBrowser();
try {
  await system.startAgent("tower", ["has-gpu"], { slots: 3 });
  await system.startAgent("nas", ["has-nas"], { slots: 4 });
  await system.startAgent("laptop", ["has-screen"], { slots: 2 });
  await system.startAgent("pi", ["has-camera"], { slots: 1 });

  const run = async (workflow: string, input: object = {}): Promise<string> => {
    const { body } = await system.call("POST", `/strands/${workflow}/run`, {
      input,
      allowUnsatisfiable: true,
    });
    return String(body.runId);
  };

  for (const theme of ["light", "dark"] as const) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const context = await browser.newContext({ viewport, colorScheme: theme });
      const page = await context.newPage();
      await logIn(page, system);
      await page.getByText("live", { exact: true }).waitFor();
      await run("check-disks");
      await run("cut-sign");
      await run("cut-sign");
      const train = await run("nightly-train");
      await run("transcode");
      await run("backup");
      await run("transcode");
      await run("cross-node-smoke");
      const take = async (of: string) => {
        const name = `${of}-${size}-${theme}`;
        if (process.argv[2] !== undefined || KEPT.has(name)) {
          await page.screenshot({
            path: path.join(folder, `${name}.jpg`),
            type: "jpeg",
            quality: 82,
          });
        }
      };

      await page.getByText("no known node offers has-laser").first().waitFor();
      await page.getByText("train runs on tower").first().waitFor();
      await run("transcode");
      await page.getByText("probe runs on").first().waitFor();
      await take("loom");
      for (const [name, address, heading] of [
        ["queue", "/queue", "need"],
        ["explain", "/explain?what=workflow&workflow=cut-sign", "cut-sign"],
        [
          "explain-typed",
          "/explain?what=requirements&requires=has-gpu%0Adisk.free-gb>=1",
          "requires",
        ],
        ["mesh", "/mesh", "Agents"],
        ["doctor", "/doctor", "capabilities"],
        ["run", `/runs/${train}`, "nightly-train"],
        ["runs", "/runs", "Runs"],
        ["nodes", "/nodes", "Nodes"],
        ["node", "/nodes/tower", "Work"],
        ["workflow", "/workflows/nightly-train", "Run it"],
      ] as const) {
        await page.goto(new URL(address, system.url).href);
        await page.getByRole("heading", { name: heading }).first().waitFor();
        await page.getByText("live", { exact: true }).waitFor();
        await take(name);
      }
      await context.close();
    }
  }
  console.log(`pictures in ${folder}`);
} finally {
  await browser.close();
  await system.stop();
}
