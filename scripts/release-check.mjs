// Packs every public package as it would be published, checks each tarball (publint,
// are-the-types-wrong), and installs them in an empty project with npm, where they and every
// example of the READMEs are type-checked, and they are imported and run as a user would.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { nodePackage } from "./node-package.mjs";
import { pack, publicPackages } from "./packages.mjs";
import { notInstalled, readExamples } from "./readme-examples.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const dir = mkdtempSync(path.join(tmpdir(), "loom-release-"));

/** Runs a function as soon as fewer of them run than there are processors: most commands use one. */
const inTurn = createQueue(availableParallelism());

/** Runs a command, and returns what it wrote to stdout. Throws what it wrote where it fails. */
const run = (cwd, command, ...args) =>
  inTurn(async () => {
    try {
      return (await promisify(execFile)(command, args, { cwd, maxBuffer: 2 ** 26 })).stdout;
    } catch (error) {
      const said = `${error.stdout ?? ""}${error.stderr ?? ""}`;
      throw new Error(`${[command, ...args].join(" ")} failed\n${said}`, { cause: error });
    }
  });

/** `engines.node` of the libraries that run on an older Node than the rest. */
const PURE_ENGINE = ">=20.9";

const COMPILE = [
  ["--outDir", "js", "--target", "es2023", "--lib", "es2024,esnext.disposable", "--types", "node"],
  ["--module", "nodenext", "--moduleResolution", "nodenext"],
].flat();
const ATTW = ["--profile", "esm-only", "--format", "ascii", "--no-emoji"];

/** What only the scheduler is needed for: placing on nodes of one's own, as values. */
const USE_SCHEDULER = `
import { type NodeView, place } from "@loom/scheduler";

const node = (name: string, capabilities: string[]): NodeView =>
  ({ name, capabilities, online: true, lastSeenMs: 0, status: "active", slots: 1, busy: 0 });
const jobs = [{ id: "train", requires: ["gpu.vram-gb>=24"] }];
const [placement] = place(jobs, [node("pi", []), node("tower", ["gpu.vram-gb=24"])]);
if (!placement?.placed || placement.node !== "tower") throw new Error(JSON.stringify(placement));
`;

try {
  const packages = publicPackages(root);
  await Promise.all(packages.map((manifest) => inTurn(() => pack(manifest, dir))));
  const files = readdirSync(dir).map((file) => path.join(dir, file));
  const tarballOf = ({ name }) =>
    files.find((file) => path.basename(file).startsWith(`loom-${name.slice(6)}-0`));
  const libraries = packages.filter(({ exports }) => exports["."]);
  const documents = readExamples(root);
  const checks = await Promise.allSettled([
    checkAll({ packages, libraries, documents, tarballOf }),
    checkPure({ libraries, documents, tarballOf }),
    ...files.map((tarball) => run(root, "publint", "run", tarball, "--strict")),
    ...libraries.map((library) => run(root, "attw", tarballOf(library), ...ATTW)),
  ]);
  const reasons = checks.flatMap(({ reason }) => reason ?? []);
  if (reasons.length > 0) throw new Error(reasons.map(({ message }) => message).join("\n"));
  console.log(`release check passed: ${packages.map(({ name }) => name).join(", ")}`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}

/**
 * Checks the pure libraries alone, in a project that has nothing else of Loom: the examples of their READMEs run on
 * the oldest Node that they support, which is older than the one that builds them.
 */
async function checkPure({ libraries, documents, tarballOf }) {
  const pure = libraries.filter(({ engines }) => engines.node === PURE_ENGINE);
  const named = ({ name }) => name.replace("@loom/", "");
  const examples = Object.fromEntries(
    documents
      .filter(({ file }) => pure.some((each) => file === `packages/${named(each)}/README.md`))
      .flatMap(({ file, examples: codes }) =>
        codes.map((code, index) => [`${file.split("/")[1]}-${index + 1}.ts`, code]),
      ),
  );
  const alone = project("alone", { "use.ts": USE_SCHEDULER, ...examples });
  await install(alone, [...pure.map(tarballOf), "zod@4", "@types/node"]);
  await typeCheck(alone, "use.ts", ...Object.keys(examples));
  await run(alone, "node", "use.ts");
  await run(alone, "tsc", ...COMPILE, "use.ts", ...Object.keys(examples));
  const old = project("old", {});
  await install(old, [`${nodePackage()}@${PURE_ENGINE.slice(2)}.0`]);
  const oldNode = path.join(old, "node_modules", nodePackage(), "bin/node");
  await Promise.all(
    readdirSync(path.join(alone, "js")).map((file) => run(alone, oldNode, `js/${file}`)),
  );
}

/** Checks every package and every example in one project, as a user has them. */
async function checkAll({ packages, libraries, documents, tarballOf }) {
  // The root and docs/ speak of a clone; who reads a package's README installs what that says.
  for (const document of documents.filter(({ file }) =>
    /^(packages|apps|workflows)\//.test(file),
  )) {
    const missing = notInstalled(document);
    if (missing.length > 0)
      throw new Error(`${document.file} does not say to install ${missing.join(", ")}`);
  }
  const examples = Object.fromEntries(
    documents.flatMap(({ file, examples: codes }) =>
      codes.map((code, index) => [`${file.replaceAll(/[/.]/g, "-")}-${index + 1}.ts`, code]),
    ),
  );
  const fromRegistry = new Set(
    documents
      .flatMap(({ installs }) => installs)
      .filter((name) => !/^@loom\/|^typescript$/.test(name)),
  );
  // All that can be imported, but for what is to be used with vitest.
  const names = libraries.flatMap(({ name, exports, peerDependencies }) =>
    Object.keys(exports)
      .filter(
        (entry) => exports[entry].types && !(peerDependencies?.vitest && entry === "./testing"),
      )
      .map((entry) => name + entry.slice(1)),
  );
  const all = project("all", {
    ...examples,
    "use.ts": `${names.map((name, index) => `import * as p${index} from "${name}";`).join("\n")}
for (const [index, exports] of [${names.map((_, index) => `p${index}`).join(", ")}].entries()) {
  if (Object.keys(exports).length === 0) throw new Error(\`package \${index} exports nothing\`);
}
`,
  });
  await install(all, [...packages.map(tarballOf), ...fromRegistry]);
  await Promise.all([
    typeCheck(all, "use.ts", ...Object.keys(examples)),
    run(all, "node", "use.ts"),
    ...["loom", "loom-hub", "loom-agent", "loom-ssh-gate"].map((bin) =>
      run(all, `node_modules/.bin/${bin}`, "--help"),
    ),
    checkInit({ all, workflow: tarballOf({ name: "@loom/workflow" }) }),
  ]);
}

/** Makes a folder for own workflows, with the tarball in place of what the registry will have. */
async function checkInit({ all, workflow }) {
  const own = path.join(dir, "own");
  await run(all, "node_modules/.bin/loom-hub", "init", own);
  await install(own, [workflow]);
  for (const script of ["check", "test"]) await run(own, "npm", "run", "--silent", script);
}

function project(name, files) {
  const folder = path.join(dir, name);
  mkdirSync(folder);
  writeFileSync(path.join(folder, "package.json"), '{ "type": "module", "private": true }\n');
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(folder, file), text);
  return folder;
}

async function install(folder, specs) {
  const options = ["--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"];
  await run(folder, "npm", "install", ...options, ...specs);
}

/** Type-checks as strictly as possible, declarations of libraries included. Errors in packages of others are ignored. */
async function typeCheck(folder, ...files) {
  for (const [module, resolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    const options = [
      ["--noEmit", "--strict", "--pretty", "false", "--skipLibCheck", "false"],
      ["--types", "node", "--target", "es2024"],
      ["--module", module, "--moduleResolution", resolution],
    ].flat();
    const said = await run(folder, "tsc", ...options, ...files).catch(({ cause }) => {
      if (typeof cause.stdout === "string" && typeof cause.code === "number") return cause.stdout;
      throw cause;
    });
    // An indented line belongs to the error before it.
    const wrong = said
      .split(/\n(?! )/)
      .filter((text) => text !== "" && !/^node_modules\/(?!@loom\/)/.test(text));
    if (wrong.length > 0) throw new Error(`${resolution}:\n${wrong.join("\n")}`);
  }
}

/** Creates a function that runs functions, at most so many at a time. */
function createQueue(most) {
  const waiting = [];
  let running = 0;
  return async (task) => {
    if (running === most) await new Promise((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await task();
    } finally {
      // Whoever waits takes this one's place.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
