// Usage: node scripts/pack.mjs FOLDER
//
// Writes the tarball of every package that is published into a folder, for projects that install
// Loom from a clone.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { pack, publicPackages } from "./packages.mjs";

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error("Name the folder that the tarballs go to: npm run pack -- ../my-project/loom");
  process.exit(2);
}
const destination = path.resolve(folder);
mkdirSync(destination, { recursive: true });
const packages = publicPackages(fileURLToPath(new URL("..", import.meta.url)));
for (const manifest of packages) await pack(manifest, destination);
console.log(`${packages.length} packages in ${destination}`);
