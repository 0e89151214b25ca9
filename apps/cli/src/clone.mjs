// `npm run loom -- …` in a clone: the program from its sources.
//
// npm changes to the clone's root, and files on the command line are named from where the person is. With Node's cache
// of compiled code the sources start in half of the time.
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

// Where it cannot be written, the program starts without it.
enableCompileCache(fileURLToPath(new URL("../node_modules/.loom/compiled", import.meta.url)));
if (process.env.npm_command === "run-script" && process.env.INIT_CWD) {
  process.chdir(process.env.INIT_CWD);
}
await import("./main.ts");
