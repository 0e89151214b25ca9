import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const SUBREAPER = new URL("subreaper.ts", import.meta.url).href;

/** What a process of its own, which has done nothing else before, says about its children. */
const ask = (options: string[] = []) =>
  JSON.parse(
    execFileSync(
      process.execPath,
      [
        ...["--conditions=@loom/source", "--input-type=module", ...options, "--eval"],
        `import { spawn } from "node:child_process";
         import { isChildless } from ${JSON.stringify(SUBREAPER)};
         const before = isChildless();
         const child = spawn("sleep", ["60"]);
         const during = isChildless();
         child.kill("SIGKILL");
         await new Promise((resolve) => child.once("exit", resolve));
         console.log(JSON.stringify({ before, during, after: isChildless() }));`,
      ],
      { encoding: "utf8" },
    ),
  );

// Where this is not known, every step reads the whole table of processes, which takes longer than most steps.
test.runIf(process.platform === "linux")("a process knows whether it has children", () => {
  expect(ask()).toEqual({ before: true, during: false, after: true });
  // Without the C library, as in a Node that lacks node:ffi.
  expect(ask(["--permission", "--allow-fs-read=*", "--allow-child-process"])).toEqual({
    before: true,
    during: false,
    after: true,
  });
});
