// Writes `repository`, `homepage` and `bugs` into the manifest of every published package, from the
// address of the clone's remote `origin`: where the code lives is said in one place. Part of a release.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { publicPackages } from "./packages.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** `git@host:owner/name.git` and `https://host/owner/name.git` as `https://host/owner/name`. */
function originUrl() {
  const origin = execFileSync("git", ["remote", "get-url", "origin"], {
    cwd: root,
    encoding: "utf8",
  }).trim();
  const [, host, name] =
    /^(?:git@|(?:ssh|https):\/\/(?:[^/@]*@)?)([^/:]+)[/:](.+?)(?:\.git)?$/.exec(origin) ?? [];
  if (!host || !name) throw new Error(`origin (${origin}) is no address of a public repository`);
  return `https://${host}/${name}`;
}

const url = originUrl();
for (const { folder } of publicPackages(root)) {
  const file = path.join(folder, "package.json");
  const {
    repository: _,
    homepage: __,
    bugs: ___,
    ...manifest
  } = JSON.parse(readFileSync(file, "utf8"));
  const directory = path.relative(root, folder);
  const { name, version, description, license, ...rest } = manifest;
  const next = {
    ...{ name, version, description, license },
    homepage: `${url}/tree/main/${directory}#readme`,
    bugs: `${url}/issues`,
    repository: { type: "git", url: `git+${url}.git`, directory },
    ...rest,
  };
  writeFileSync(file, `${JSON.stringify(next, null, 2)}\n`);
}
console.log(`the packages name ${url}`);
