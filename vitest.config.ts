import { fileURLToPath } from "node:url";
import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Workspace packages are tested from their sources: nothing is built to run a test.
const resolve = { conditions: ["@loom/source", ...defaultServerConditions] };

/** The files that take the longest, slowest first. By their size Vitest would run them last. */
const SLOWEST = [
  "packages/queue/test/contract-over-postgrest.test.ts",
  "packages/queue/test/contract-over-postgres.test.ts",
  "packages/queue/test/contract-over-postgres-15.test.ts",
  "packages/queue/test/mutations.test.ts",
  "packages/queue/test/history.test.ts",
  "packages/queue/test/nonsense.test.ts",
  "apps/node-agent/test/node-faults.test.ts",
  "e2e/dashboard-map.test.ts",
  "e2e/chaos.test.ts",
];
/** It takes all processors itself, so it runs when the others have ended. */
const LAST = "/e2e/containment.test.ts";

/** Starts the slowest files first: the last one to start would run while other workers idle. */
class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      if (moduleId.endsWith(LAST)) return SLOWEST.length + 1;
      const at = SLOWEST.findIndex((path) => moduleId.endsWith(`/${path}`));
      return at < 0 ? SLOWEST.length : at;
    };
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
  }
}

export default defineConfig({
  ssr: { resolve },
  // Vitest loads global set-up files in an environment of its own.
  environments: { __vitest__: { resolve } },
  test: {
    // Programs that tests start from their sources compile them once, not each time: they start in half of the time.
    env: {
      NODE_COMPILE_CACHE: fileURLToPath(new URL("node_modules/.cache/compiled", import.meta.url)),
    },
    // One for each processor; Vitest leaves one of them idle.
    maxWorkers: "100%",
    // A busy machine takes several times as long; a limit is there for what never ends.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    sequence: { sequencer: SlowestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [
            "{packages,apps}/*/src/**/*.test.ts",
            "workflows/src/**/*.test.ts",
            "scripts/*.test.mjs",
          ],
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["{packages,apps}/*/test/**/*.test.ts"],
          globalSetup: ["packages/queue/src/testing/global-setup.ts"],
          // One set of worker-scoped fixtures for all files, not one a file.
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          globalSetup: ["e2e/support/built-dashboard.ts"],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // After the other files, which would take the processors from their leases.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
