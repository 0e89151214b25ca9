import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

// Workspace packages are tested from their sources: nothing is built to run a test.
const resolve = { conditions: ["@loom/source", ...defaultServerConditions] };

export default defineConfig({
  ssr: { resolve },
  // Vitest loads global set-up files in an environment of its own.
  environments: { __vitest__: { resolve } },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["{packages,apps}/*/src/**/*.test.ts", "workflows/src/**/*.test.ts"],
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
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
