import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig } from "vite";

/** Into the hub's own `dist`: the hub serves it, and its package holds it. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: { conditions: ["@loom/source", ...defaultClientConditions] },
  // Wherever it is built from: a test's NODE_ENV would put React's development build into the page.
  define: { "process.env.NODE_ENV": '"production"' },
  oxc: { jsx: { runtime: "automatic", development: false } },
  build: {
    outDir: fileURLToPath(new URL("../hub/dist/dashboard", import.meta.url)),
    emptyOutDir: true,
    target: ["chrome123", "firefox128", "safari17.5"],
    // What is inlined as data: would be refused by the page's own policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
