import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { chmod, copyFile, link, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A user of this system with an empty home, which stays when the user is removed at the end. */
export interface Person extends AsyncDisposable {
  home: string;
  uid: number;
  /** Before a command: runs it as this user. */
  as: readonly [string, ...string[]];
}

/**
 * Adds a user.
 *
 * @param home - Where the user's folder will be.
 */
export async function createPerson(name: string, home: string): Promise<Person> {
  await run("useradd", ["--create-home", "--home-dir", home, "--shell", "/bin/sh", name]);
  const { uid, gid } = statSync(home);
  return {
    home,
    uid,
    as: ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"],
    async [Symbol.asyncDispose]() {
      await run("userdel", ["--force", name]);
    },
  };
}

/** The process of this user whose command line has this part. */
export function pidOf({ uid }: Person, part: string): number {
  const found = readdirSync("/proc").find((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        statSync(`/proc/${pid}`).uid === uid &&
        readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").includes(part)
      );
    } catch {
      return false; // it has ended
    }
  });
  if (found === undefined) throw new Error(`no ${part} runs`);
  return Number(found);
}

/** Puts the Node of this process into a folder, where every user may run it. */
export async function placeNode(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const node = path.join(folder, "node");
  await link(process.execPath, node).catch(() => copyFile(process.execPath, node));
}

/** Makes the `node` of a folder one that is too old for everything. */
export async function placeOldNode(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "node"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
}

/** Plays npm with a registry that has one package: the Node of this process for this platform. */
export async function placeNpm(folder: string): Promise<void> {
  const root = path.join(folder, "registry");
  await placeNode(path.join(root, "package/bin"));
  const file = path.join(root, "node.tgz");
  await run("tar", ["--use-compress-program=gzip -1", "-cf", file, "-C", root, "package/bin/node"]);
  await chmod(file, 0o644);
  const integrity = createHash("sha512")
    .update(await readFile(file))
    .digest("base64");
  const script = `#!/bin/sh
case "$1 $2" in
  "view node-${process.platform}-${process.arch}@${process.versions.node}") echo 'sha512-${integrity}' ;;
  "pack "*) cp '${file}' "$4" && echo node.tgz ;;
  *) exit 1 ;;
esac
`;
  await writeFile(path.join(folder, "npm"), script, { mode: 0o755 });
}
