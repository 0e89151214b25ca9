// The packages that are published, and how they become tarballs.
import { execFile } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

/** Every package that is not private: its manifest, and the folder that it is in. */
export const publicPackages = (root) =>
  globSync(["packages/*/package.json", "apps/*/package.json", "workflows/package.json"], {
    cwd: root,
  })
    .map((file) => ({
      folder: path.join(root, path.dirname(file)),
      ...JSON.parse(readFileSync(path.join(root, file), "utf8")),
    }))
    .filter((manifest) => !manifest.private);

/** Writes the tarball of a built package into a folder. */
export const pack = ({ folder }, destination) =>
  promisify(execFile)("pnpm", ["pack", "--pack-destination", destination], { cwd: folder });
