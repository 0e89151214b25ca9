import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { PlatformError } from "../src/index.ts";
import { installedBinaries, postgresBinaries, postgresPackage } from "../src/postgres/binaries.ts";
import { isRoot, nobody } from "../src/process/account.ts";
import { postgrestBinary } from "../src/rest/postgrest.ts";

function tempDir(mode: number): string {
  const directory = mkdtempSync(join(tmpdir(), "loom-test-"));
  chmodSync(directory, mode);
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

describe("postgresBinaries", () => {
  test.skipIf(!isRoot())(
    "copies Postgres to a folder where the other user can run it",
    async () => {
      const [home, dataDir] = [tempDir(0o700), tempDir(0o755)];
      const packageDir = join(home, "package");
      execFileSync("cp", ["-a", postgresPackage(), packageDir]);

      const options = { packageDir, account: nobody(), copyInto: dataDir };
      const first = await postgresBinaries(options);
      const second = await postgresBinaries(options);

      expect(first.postgres).toMatch(new RegExp(`^${dataDir}/postgres-18\\..*/bin/postgres$`));
      expect(second).toEqual(first);
      expect(readdirSync(dataDir)).toHaveLength(1);
    },
  );

  test("restores the library links that an install script would have made", async () => {
    const packageDir = join(tempDir(0o755), "package");
    execFileSync("cp", ["-a", postgresPackage(), packageDir]);
    const library = join(packageDir, "native/lib");
    for (const entry of readdirSync(library, { withFileTypes: true })) {
      if (entry.isSymbolicLink()) rmSync(join(library, entry.name));
    }

    const options = { packageDir, account: undefined, copyInto: "/nowhere" };
    expect(await postgresBinaries(options)).toMatchObject({
      postgres: join(packageDir, "native/bin/postgres"),
      majorVersion: 18,
    });
  });

  test("says what to do when Postgres cannot run", async () => {
    const [packageDir, dataDir] = [join(tempDir(0o755), "package"), tempDir(0o755)];
    execFileSync("cp", ["-a", postgresPackage(), packageDir]);
    const postgres = join(packageDir, "native/bin/postgres");
    rmSync(postgres); // it may be a second name of the installed file
    writeFileSync(postgres, "#!/no/such/loader\n", { mode: 0o755 });

    const failing = postgresBinaries({ packageDir, account: undefined, copyInto: dataDir });

    await expect(failing).rejects.toThrow(PlatformError);
    await expect(failing).rejects.toThrow(/does not run here.*SUPABASE_URL/);
  });
});

describe("installedBinaries", () => {
  test("finds the programs of a folder", () => {
    const binDir = join(postgresPackage(), "native/bin");
    expect(installedBinaries(binDir, undefined)).toEqual({
      initdb: join(binDir, "initdb"),
      postgres: join(binDir, "postgres"),
      majorVersion: 18,
    });
  });

  test("says which folder has none", () => {
    const find = () => installedBinaries("/no/such/folder", undefined);
    expect(find).toThrow(PlatformError);
    expect(find).toThrow(/Postgres in \/no\/such\/folder does not run here: .*ENOENT/);
  });
});

describe("postgrestBinary", () => {
  test("takes POSTGREST_BIN first", () => {
    expect(postgrestBinary({ POSTGREST_BIN: process.execPath })).toBe(process.execPath);
  });

  test("refuses a POSTGREST_BIN that is not a program", () => {
    expect(() => postgrestBinary({ POSTGREST_BIN: "/no/such/program" })).toThrow(
      /POSTGREST_BIN.*\/no\/such\/program/,
    );
  });
});
