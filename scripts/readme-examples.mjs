// The examples of the READMEs as a reader finds them: the code, and what the install lines name.
import { globSync, readFileSync } from "node:fs";
import path from "node:path";

/** Examples that stand alone are marked `ts`; a `typescript` block is a fragment. */
const EXAMPLE = /```ts\n([\s\S]*?)```/g;
const INSTALL = /^npm install (?!--(?:global|prefix))(?:--save-dev )?(.+)$/gm;
const IMPORT = /^(?:import|} from)\b[^"]*"([^"]+)";$/gm;

/** @returns One entry a document that has examples. */
export const readExamples = (root) =>
  globSync(
    ["README.md", "docs/*.md", "packages/*/README.md", "apps/*/README.md", "workflows/README.md"],
    { cwd: root },
  )
    .sort()
    .map((file) => {
      const text = readFileSync(path.join(root, file), "utf8");
      return {
        file,
        examples: [...text.matchAll(EXAMPLE)].map(([, code]) => code),
        installs: [...text.matchAll(INSTALL)].flatMap(([, line]) => line.split(" ")),
      };
    })
    .filter(({ examples }) => examples.length > 0);

/** Packages that an example imports and its document does not say to install. */
export const notInstalled = ({ examples, installs }) =>
  [
    ...new Set(
      examples
        .flatMap((code) => [...code.matchAll(IMPORT)].map(([, specifier]) => specifier))
        .filter((specifier) => !specifier.startsWith("node:"))
        .map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)[0]),
    ),
  ].filter((name) => !installs.includes(name));
