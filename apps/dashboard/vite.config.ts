import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig } from "vite";

/** Builds into the hub's `dist`: the hub serves the page, and its package contains it. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: { conditions: ["@loom/source", ...defaultClientConditions] },
  // A test sets NODE_ENV to "test", which would put React's development build into the page.
  define: { "process.env.NODE_ENV": '"production"' },
  oxc: { jsx: { runtime: "automatic", development: false } },
  build: {
    outDir: fileURLToPath(new URL("../hub/dist/dashboard", import.meta.url)),
    emptyOutDir: true,
    target: ["chrome123", "firefox128", "safari17.5"],
    // The page's policy refuses assets that are inlined as `data:` URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
