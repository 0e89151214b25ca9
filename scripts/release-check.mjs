// Packs every public package as it would be published, checks each tarball (publint,
// are-the-types-wrong), and installs them in an empty project with npm, where they
// are imported, type-checked and run as a user would.
import { execFileSync } from "node:child_process";
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dir = mkdtempSync(path.join(tmpdir(), "loom-release-"));
const run = (cwd, command, ...args) =>
  execFileSync(command, args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
const quiet = (cwd, command, ...args) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

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
  const packages = globSync(
    ["packages/*/package.json", "apps/*/package.json", "workflows/package.json"],
    { cwd: root },
  )
    .map((file) => ({
      folder: path.join(root, path.dirname(file)),
      ...JSON.parse(readFileSync(path.join(root, file), "utf8")),
    }))
    .filter((manifest) => !manifest.private);
  for (const { folder } of packages) quiet(folder, "pnpm", "pack", "--pack-destination", dir);
  const tarballs = readdirSync(dir).map((file) => path.join(dir, file));
  for (const tarball of tarballs) run(root, "publint", "run", tarball, "--strict");
  const libraries = packages.filter(({ exports }) => exports["."]);
  for (const { name } of libraries) {
    const tarball = tarballs.find((file) =>
      path.basename(file).startsWith(`loom-${name.slice(6)}-0`),
    );
    quiet(root, "attw", tarball, "--profile", "esm-only", "--format", "ascii", "--no-emoji");
  }

  const project = (name, files) => {
    const folder = path.join(dir, name);
    mkdirSync(folder);
    writeFileSync(path.join(folder, "package.json"), '{ "type": "module", "private": true }\n');
    for (const [file, text] of Object.entries(files)) writeFileSync(path.join(folder, file), text);
    return folder;
  };
  const install = (folder, specs) =>
    quiet(
      folder,
      "npm",
      "install",
      "--no-audit",
      "--no-fund",
      "--loglevel=error",
      "--prefer-offline",
      ...specs,
    );
  const typeCheck = (folder, file) => {
    const types = path.join(root, "node_modules/@types");
    for (const [module, resolution] of [
      ["nodenext", "nodenext"],
      ["esnext", "bundler"],
    ]) {
      run(
        folder,
        "tsc",
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "false",
        "--types",
        "node",
        "--typeRoots",
        types,
        "--target",
        "es2023",
        "--module",
        module,
        "--moduleResolution",
        resolution,
        file,
      );
    }
  };

  // Alone first: in a project that has nothing else of Loom but what it depends on.
  const of = (name) => tarballs.find((file) => path.basename(file).startsWith(`loom-${name}-0`));
  const alone = project("alone", { "use.ts": USE_SCHEDULER });
  install(alone, [of("workflow"), of("scheduler"), "zod@4"]);
  typeCheck(alone, "use.ts");
  run(alone, "node", "use.ts");

  const names = libraries.map(({ name }) => name);
  const all = project("all", {
    "use.ts": `${names.map((name, index) => `import * as p${index} from "${name}";`).join("\n")}
for (const [index, exports] of [${names.map((_, index) => `p${index}`).join(", ")}].entries()) {
  if (Object.keys(exports).length === 0) throw new Error(\`package \${index} exports nothing\`);
}
`,
  });
  install(all, [...tarballs, "zod@4", "@supabase/supabase-js@2"]);
  run(all, "node", "use.ts");
  for (const bin of ["loom-hub", "loom-agent", "loom-ssh-gate"])
    run(all, `node_modules/.bin/${bin}`, "--help");
  console.log(`release check passed: ${packages.map(({ name }) => name).join(", ")}`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
