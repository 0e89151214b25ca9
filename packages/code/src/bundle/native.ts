import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Plugin, PluginBuild } from "esbuild";

/** Packages whose job is to find or build a compiled part of the package that depends on them. */
const LOADERS = [
  "bindings",
  "node-gyp-build",
  "node-addon-api",
  "node-pre-gyp",
  "@mapbox/node-pre-gyp",
  "prebuild-install",
  "napi-postinstall",
  "buildcheck",
];

interface Manifest {
  name?: string;
  main?: string;
  gypfile?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
}

/**
 * Leaves packages with a compiled part outside of a bundle, because such a part fits one system only.
 *
 * @param needed - Receives the names of the packages that the bundle needs. Optional packages are left out and not
 * named.
 */
export const nativeModules = (needed: Set<string>): Plugin => ({
  name: "native modules",
  setup(build) {
    build.onResolve({ filter: /\.node$/ }, ({ path: specifier }) => ({
      path: specifier,
      external: true,
    }));
    build.onResolve({ filter: /^[^./]/ }, async ({ path: specifier, pluginData, ...from }) => {
      if (pluginData === SEEN || specifier.startsWith("node:")) return undefined;
      const name = packageOf(specifier);
      const found = await build.resolve(specifier, { ...from, pluginData: SEEN });
      if (isOptional(from.importer, name)) {
        return found.errors.length > 0 || isNative(found.path, name)
          ? { path: specifier, external: true }
          : undefined;
      }
      if (found.errors.length > 0 || found.external || !isNative(found.path, name))
        return undefined;
      needed.add(name);
      return { path: specifier, external: true };
    });
  },
});

const SEEN = Symbol("resolved by the plugin itself");

/** The package of an import's specifier. */
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

/** Whether the importing package works without another one. */
function isOptional(importer: string, name: string): boolean {
  const manifest = manifestAbove(importer)?.manifest;
  return (
    manifest?.optionalDependencies?.[name] !== undefined ||
    manifest?.peerDependenciesMeta?.[name]?.optional === true
  );
}

function isNative(file: string, name: string): boolean {
  if (!path.isAbsolute(file)) return false;
  if (file.endsWith(".node")) return true;
  const found = manifestAbove(file, name);
  if (!found) return false;
  const { folder, manifest } = found;
  const uses = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
  return (
    manifest.gypfile === true ||
    existsSync(path.join(folder, "binding.gyp")) ||
    uses.some((dependency) => LOADERS.includes(dependency)) ||
    hasCompiledVariants(folder, manifest)
  );
}

/** Whether a package depends on one compiled package for each system, such as `@scope/name-linux-x64-gnu`. */
function hasCompiledVariants(folder: string, { optionalDependencies = {} }: Manifest): boolean {
  return Object.keys(optionalDependencies).some((variant) => {
    if (!variant.includes(process.platform) || !variant.includes(process.arch)) return false;
    const parent = folder.slice(0, folder.lastIndexOf("node_modules") + "node_modules".length);
    return [path.join(parent, variant), path.join(folder, "node_modules", variant)].some(
      (place) => readManifest(place)?.main?.endsWith(".node") === true,
    );
  });
}

/** The manifest of the package that a file is in. */
function manifestAbove(
  file: string,
  name?: string,
): { folder: string; manifest: Manifest } | undefined {
  for (let folder = path.dirname(file); folder !== path.dirname(folder); ) {
    const manifest = readManifest(folder);
    // Some packages have further manifests in their folders, which only say how modules are read.
    if (manifest?.name !== undefined && (name === undefined || manifest.name === name)) {
      return { folder, manifest };
    }
    folder = path.dirname(folder);
  }
  return undefined;
}

function readManifest(folder: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as Manifest;
  } catch {
    return undefined;
  }
}

/** Lets a file that has no copy of these packages around use the hub's own. */
export const ownPackages = (names: readonly string[], folder: string): Plugin => ({
  name: "own packages",
  setup(build: PluginBuild) {
    const filter = new RegExp(`^(${names.join("|")})(/|$)`);
    build.onResolve({ filter }, async ({ path: specifier, pluginData, ...from }) => {
      if (pluginData === SEEN) return undefined;
      const theirs = await build.resolve(specifier, { ...from, pluginData: SEEN });
      if (theirs.errors.length === 0) return undefined;
      const ours = await build.resolve(specifier, {
        ...{ kind: from.kind, resolveDir: folder, pluginData: SEEN },
      });
      return ours.errors.length === 0
        ? { path: ours.path, sideEffects: ours.sideEffects, namespace: ours.namespace }
        : undefined;
    });
  },
});
