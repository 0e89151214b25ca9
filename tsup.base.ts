import { defineConfig, type Options } from "tsup";

/** ESM JavaScript only: declarations come from `tsc -b`, one compiler for types and checks. */
export const base = (options: Options = {}): Options | Options[] =>
  defineConfig({
    entry: ["src/index.ts"],
    format: "esm",
    platform: "node",
    target: "node22.18",
    sourcemap: true,
    splitting: false,
    dts: false,
    clean: false,
    silent: true,
    ...options,
  }) as Options;
