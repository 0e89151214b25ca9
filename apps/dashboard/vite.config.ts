import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig } from "vite";

/** Into the hub's own `dist`: the hub serves it, and its package holds it. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: { conditions: ["@loom/source", ...defaultClientConditions] },
  build: {
    outDir: fileURLToPath(new URL("../hub/dist/dashboard", import.meta.url)),
    emptyOutDir: true,
    target: ["chrome123", "firefox128", "safari17.5"],
    // What is inlined as data: would be refused by the page's own policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
