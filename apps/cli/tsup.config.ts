import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { base } from "../../tsup.base.ts";

/**
 * One file with everything in it, from the sources of the other packages: the program starts with one
 * read, and an installation fetches nothing else. What only one command needs is a file beside it.
 */
export default base({
  entry: ["src/main.ts"],
  noExternal: [/.*/],
  splitting: true,
  esbuildOptions(options) {
    options.conditions = ["@loom/source"];
  },
  esbuildPlugins: [
    {
      name: "publish",
      setup(build) {
        build.initialOptions.metafile = true;
        // Chunks are named by their content: those of an earlier build would be published, too.
        build.onStart(() => {
          const outdir = build.initialOptions.outdir ?? "dist";
          if (!existsSync(outdir)) return;
          for (const file of readdirSync(outdir).filter((each) => /\.js(\.map)?$/.test(each))) {
            rmSync(path.join(outdir, file));
          }
        });
        build.onEnd(({ metafile }) => {
          const outdir = build.initialOptions.outdir ?? "dist";
          mkdirSync(outdir, { recursive: true });
          const text = licencesOf(Object.keys(metafile?.inputs ?? {}));
          writeFileSync(path.join(outdir, "licences.txt"), text);
        });
      },
    },
  ],
});

/** The licences of the packages whose code is in the bundle: they ask to be kept with it. */
function licencesOf(files: readonly string[]): string {
  const folders = files.flatMap(
    (file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0] ?? [],
  );
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(path.join(folder, "package.json"), "utf8"),
    );
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    const text = file ? readFileSync(path.join(folder, file), "utf8").trim() : license;
    return `${name} ${version}\n\n${text}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}
