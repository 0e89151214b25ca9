// The shape of the sources: what imports what, how long files are, how full folders are.
// `node scripts/structure.mjs` lists what breaks a rule, and fails unless EXCEPTIONS names it.
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const MAX_LINES = 400;
const MAX_FILES = 15;

/** A package imports packages of the layers before its own, and nothing imports an app. */
const LAYERS = [
  ["did-you-mean"],
  ["workflow", "tailscale-resolver", "ssh", "local-db", "service"],
  ["scheduler", "queue", "workflows", "init", "code", "archive"],
  ["worker", "client", "backup"],
  ["program", "explain", "http"],
  ["join", "files"],
];

/** Faults that are known and allowed for now. One that no longer occurs has to leave the list. */
const EXCEPTIONS = [];

/**
 * Checks the sources below a folder, without test files and without migrations, which are never
 * edited. Contract suites in `testing/` are sources. An import of a type counts like any other: two
 * files that need each other's types are one concept.
 *
 * @returns One sentence a fault, in a stable order.
 */
export function findFaults(root) {
  const files = globSync(["{packages,apps}/*/**/*", "{workflows,e2e,bench,scripts}/**/*"], {
    cwd: root,
    exclude: (name) => /(^|\/)(node_modules|dist|\.[^/]+)$/.test(name),
  })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => /\.(ts|tsx|mjs|sql|css)$/.test(file) && !isTest(file))
    .filter((file) => !file.includes("/migrations/"))
    .sort();
  const sources = files.map((file) => ({
    file,
    text: readFileSync(path.join(root, file), "utf8"),
  }));
  return [
    ...longFiles(sources),
    ...fullFolders(files),
    ...circles(relativeImports(root, sources)),
    ...wrongWays(root, sources),
  ];
}

const isTest = (file) => /\.test(-d)?\.[a-z]+$|^(packages|apps)\/[^/]+\/test\//.test(file);

const longFiles = (sources) =>
  sources
    .map(({ file, text }) => ({ file, lines: text.trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${file} has ${lines} lines, more than ${MAX_LINES}`);

function fullFolders(files) {
  const scripts = files.filter((file) => /\.tsx?$/.test(file));
  return Object.entries(Object.groupBy(scripts, (file) => path.posix.dirname(file)))
    .filter(([, inside]) => inside.length > MAX_FILES)
    .map(
      ([folder, inside]) =>
        `${folder} has ${inside.length} TypeScript files at its root, more than ${MAX_FILES}`,
    );
}

const IMPORT =
  /^(?:import|export|\})[^;"]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm;

const importsOf = (text) =>
  [...text.matchAll(IMPORT)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic);

/** Each file with the files that it imports by a relative path. */
const relativeImports = (root, sources) =>
  new Map(
    sources.map(({ file, text }) => [
      file,
      importsOf(text)
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => path.posix.join(path.posix.dirname(file), specifier))
        .filter((target) => existsSync(path.join(root, target))),
    ]),
  );

/** One line a circle: the shortest way from a file back to itself, each circle once. */
function circles(graph) {
  const seen = new Set();
  const found = [];
  for (const start of graph.keys()) {
    const way = wayBack(graph, start);
    if (!way || way.some((file) => seen.has(file))) continue;
    for (const file of way) seen.add(file);
    found.push(`import circle: ${[...way, start].join(" → ")}`);
  }
  return found;
}

function wayBack(graph, start) {
  const queue = [[start]];
  const visited = new Set();
  for (const way of queue) {
    for (const next of graph.get(way.at(-1)) ?? []) {
      if (next === start) return way;
      if (visited.has(next)) continue;
      visited.add(next);
      queue.push([...way, next]);
    }
  }
  return undefined;
}

/** Imports of another part that go against the layers, or around its name. */
function wrongWays(root, sources) {
  const apps = globSync("apps/*/package.json", { cwd: root }).map((file) => nameIn(root, file));
  const layerOf = (name) => LAYERS.findIndex((layer) => layer.includes(name));
  const faults = new Set();
  for (const { file, text } of sources) {
    const part = partOf(file);
    // Whole-system tests and measurements use everything.
    if (["e2e", "bench", "scripts"].includes(part)) continue;
    const name = nameIn(root, `${part}/package.json`);
    const isApp = apps.includes(name);
    if (!isApp && layerOf(name) < 0) faults.add(`${part} is in none of the layers`);
    for (const specifier of importsOf(text)) {
      if (specifier.startsWith(".")) {
        const target = path.posix.join(path.posix.dirname(file), specifier);
        if (
          partOf(target) !== part &&
          existsSync(path.join(root, partOf(target), "package.json"))
        ) {
          faults.add(`${file} reaches into ${partOf(target)}`);
        }
        continue;
      }
      const other = /^@loom\/([^/]+)/.exec(specifier)?.[1];
      if (!other || other === name) continue;
      if (apps.includes(other)) faults.add(`${part} imports the app @loom/${other}`);
      else if (!isApp && layerOf(other) >= layerOf(name)) {
        faults.add(`${part} imports @loom/${other}, which is not below it`);
      }
    }
  }
  return [...faults];
}

const partOf = (file) => /^(?:(?:packages|apps)\/)?[^/]+/.exec(file)[0];

const nameIn = (root, file) =>
  JSON.parse(readFileSync(path.join(root, file), "utf8")).name.replace("@loom/", "");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = findFaults(fileURLToPath(new URL("..", import.meta.url)));
  const fresh = faults.filter((fault) => !EXCEPTIONS.includes(fault));
  const stale = EXCEPTIONS.filter((fault) => !faults.includes(fault));
  for (const fault of fresh) console.error(fault);
  for (const fault of stale) {
    console.error(`"${fault}" no longer occurs: take it from EXCEPTIONS in scripts/structure.mjs`);
  }
  const count = fresh.length + stale.length;
  if (count > 0) {
    console.error(`${count} faults of structure`);
    process.exitCode = 1;
  }
}
