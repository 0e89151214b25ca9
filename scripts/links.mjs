// `node scripts/links.mjs` lists what the documents name and nobody finds: relative links, their
// anchors, and paths in backticks such as `packages/queue/src/errors.ts`.
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const FENCE = /^```[\s\S]*?^```$/gm;
const LINK = /\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)"/g;
const CODE_PATH = /`((?:packages|apps|workflows|docs|bench|e2e|scripts)\/[^`\s:*…<>{}]+)`/g;

/** @returns One sentence a target that is not there. */
export function findBrokenLinks(root) {
  const documents = globSync(
    ["*.md", "{docs,bench,.github}/**/*.md", "{packages,apps}/*/*.md", "workflows/*.md"],
    {
      cwd: root,
      exclude: (name) => /(^|\/)node_modules$/.test(name),
    },
  );
  return documents.sort().flatMap((document) => {
    const text = readFileSync(path.join(root, document), "utf8").replaceAll(FENCE, "");
    const links = [...text.matchAll(LINK)].map(([, link, attribute]) => link ?? attribute);
    const paths = [...text.matchAll(CODE_PATH)].map(([, target]) => target);
    return [
      ...links
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => !isThere(root, document, link))
        .map((link) => `${document} links to ${link}, which does not exist`),
      ...paths
        // What a build makes is there after a build only.
        .filter((target) => !target.includes("/dist/"))
        .filter((target) => !existsSync(path.join(root, target)))
        .map((target) => `${document} names ${target}, which does not exist`),
    ];
  });
}

function isThere(root, document, link) {
  const [target = "", anchor] = link.split("#");
  const named = path.join(
    root,
    target === "" ? document : path.join(path.dirname(document), target),
  );
  if (!existsSync(named)) return false;
  if (!anchor) return true;
  // A public host shows the README of a folder.
  const file = statSync(named).isDirectory() ? path.join(named, "README.md") : named;
  return file.endsWith(".md") && existsSync(file) && anchorsOf(file).has(anchor);
}

/** The anchors of a document's headings, as public hosts make them. */
function anchorsOf(file) {
  const seen = new Map();
  const headings = readFileSync(file, "utf8")
    .replaceAll(FENCE, "")
    .matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading]) => {
      const anchor = heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-");
      const count = seen.get(anchor) ?? 0;
      seen.set(anchor, count + 1);
      return count === 0 ? anchor : `${anchor}-${count}`;
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const broken = findBrokenLinks(fileURLToPath(new URL("..", import.meta.url)));
  for (const sentence of broken) console.error(sentence);
  if (broken.length > 0) process.exitCode = 1;
}
