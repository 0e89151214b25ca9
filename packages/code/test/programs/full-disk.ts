// Writes code into a folder (the first argument) on a disk that is too small for it, and then code that fits.
import { readdirSync } from "node:fs";
import path from "node:path";
import { type CodeError, createCodeStore, loadSigningKey, signWorkflow } from "@loom/code";

const disk = process.argv[2] ?? "";
const key = await loadSigningKey(path.join(disk, "key"));
const store = createCodeStore({ folder: path.join(disk, "code"), publicKey: key.publicKey });
const large = signWorkflow({ name: "l", source: "x".repeat(1_000_000), externals: [] }, key);
const small = signWorkflow({ name: "s", source: "x", externals: [] }, key);
const { code, message } = await store.write(large).then(
  () => ({ code: "written", message: "" }),
  (error: CodeError) => error,
);
const left = readdirSync(disk, { recursive: true }).filter((name) => name !== "code");
const isFound = (await store.find(large.statement.digest)) !== undefined;
const afterwards = await store.write(small).then(
  () => true,
  () => false,
);
console.log(JSON.stringify({ code, message, left, isFound, afterwards }));
