import { expect, test } from "vitest";
import { inheritedOptions } from "./code-process.ts";

test.for<{ title: string; options: string[]; kept: string[] }>([
  {
    title: "how modules are found",
    options: ["--conditions=@loom/source", "--import", "./register.mjs", "-C", "x"],
    kept: ["--conditions=@loom/source", "--import", "./register.mjs", "-C", "x"],
  },
  {
    title: "no program on the command line",
    options: ["--conditions=a", "--input-type=module", "--eval", "await import('x')"],
    kept: ["--conditions=a"],
  },
  { title: "no short one", options: ["-e", "1", "--no-warnings"], kept: ["--no-warnings"] },
  {
    title: "no small heap",
    options: ["--max-semi-space-size=2", "--no-warnings"],
    kept: ["--no-warnings"],
  },
  {
    title: "no debugger, test runner or watcher",
    options: ["--inspect-brk=9229", "--test", "--watch-path=x", "--enable-source-maps"],
    kept: ["--enable-source-maps"],
  },
])("takes over $title", ({ options, kept }) => {
  expect(inheritedOptions(options)).toEqual(kept);
});
