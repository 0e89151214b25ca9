// Usage: node --conditions=@loom/source apps/quickstart/src/compiled.mjs <path of a main file> [arguments]
//
// Runs a program from its TypeScript sources with Node's cache of compiled code. From the second start on, nothing is
// compiled: it starts in half of the time, and Node's TypeScript loader takes none of its memory. The cache is set here
// and not by NODE_COMPILE_CACHE, which steps and their commands would inherit.
import { enableCompileCache } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

// Where it cannot be written, programs start without it.
enableCompileCache(fileURLToPath(new URL("../node_modules/.loom/compiled", import.meta.url)));
const [main = ""] = process.argv.splice(2, 1);
const file = path.resolve(main);
process.argv[1] = file;
await import(pathToFileURL(file).href);
