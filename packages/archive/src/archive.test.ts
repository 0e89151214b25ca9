import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { crc32, gzipSync } from "node:zlib";
import { limits } from "@loom/workflow";
import { Header, Pax } from "tar";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pack } from "./pack.ts";
import { leavesFolder } from "./paths.ts";
import { unpack } from "./unpack.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-archive-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (...names: string[]) => path.join(folder, ...names);

/** Makes a folder to pack; a text that begins with `->` is a link. */
function tree(files: Record<string, string>): string {
  const root = at("source");
  mkdirSync(root, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    if (text.startsWith("->")) symlinkSync(text.slice(2), path.join(root, name));
    else writeFileSync(path.join(root, name), text);
  }
  return root;
}

/** Everything below a folder, by its path. */
function read(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of (readdirSync(root, { recursive: true }) as string[]).sort()) {
    const stat = lstatSync(path.join(root, name));
    if (stat.isSymbolicLink()) found[name] = `->${readlinkSync(path.join(root, name))}`;
    else if (stat.isFile()) found[name] = readFileSync(path.join(root, name), "utf8");
    else if (readdirSync(path.join(root, name)).length === 0) found[name] = "(empty)";
  }
  return found;
}

/** An archive of entries as somebody else might write it. */
function write(...entries: [facts: Record<string, unknown>, text?: string][]): string {
  const parts = entries.flatMap(([facts, text = ""]) => {
    const header = new Header({ mode: 0o644, size: text.length, type: "File", ...facts } as object);
    const needsPax = header.encode();
    const content = Buffer.alloc(512 * Math.ceil(text.length / 512));
    content.write(text);
    return [
      ...(needsPax ? [new Pax(facts as object).encode()] : []),
      header.block ?? Buffer.alloc(0),
      content,
    ];
  });
  return raw(gzipSync(Buffer.concat([...parts, Buffer.alloc(1_024)])));
}

function raw(content: Buffer): string {
  writeFileSync(at("archive"), content);
  return at("archive");
}

describe("a folder that is packed and unpacked", () => {
  test("has the same files, folders, links, permissions and times", async () => {
    const long = `${"deep/".repeat(60)}${"n".repeat(200)}`;
    const files = {
      "a.txt": "one",
      "d/b": "two",
      "d/up": "->../a.txt",
      [long]: "ä",
      l: "->./d//b",
    };
    const root = tree(files);
    mkdirSync(path.join(root, "void"));
    writeFileSync(path.join(root, "run"), "#!/bin/sh\n", { mode: 0o755 });
    chmodSync(path.join(root, "a.txt"), 0o400);
    chmodSync(path.join(root, "d"), 0o700);
    utimesSync(path.join(root, "a.txt"), 1_000_000, 1_000_000);
    execFileSync("mkfifo", [path.join(root, "pipe")]);
    const packed = await pack(root, { to: at("one.tgz") });
    await unpack(at("one.tgz"), { to: at("out") });
    expect(read(at("out"))).toEqual({ ...files, void: "(empty)", run: "#!/bin/sh\n" });
    expect(packed).toMatchObject({ bytes: 3 + 3 + 2 + 10 });
    expect(statSync(at("out", "run")).mode & 0o777).toBe(0o755);
    expect(statSync(at("out", "a.txt"))).toMatchObject({ mtimeMs: 1_000_000_000 });
    expect(statSync(at("out", "a.txt")).mode & 0o077).toBe(0);
    expect(statSync(at("out", "d")).mode & 0o077).toBe(0);
    await pack(root, { to: at("two.tgz") });
    expect(readFileSync(at("two.tgz")).equals(readFileSync(at("one.tgz")))).toBe(true);
    expect(execFileSync("tar", ["-tzf", at("one.tgz")], { encoding: "utf8" })).toContain("d/b\n");
  });

  test("may be empty, or be some of its paths", async () => {
    const root = tree({ "a/x": "1", "a/y": "2", b: "3", c: "4" });
    mkdirSync(at("void"));
    await pack(at("void"), { to: at("void.tgz") });
    await unpack(at("void.tgz"), { to: at("none") });
    expect(read(at("none"))).toEqual({});
    await pack(root, { to: at("some.tgz"), paths: ["a/x", "b"] });
    await unpack(at("some.tgz"), { to: at("some"), only: ["b", "a/x"] });
    expect(read(at("some"))).toEqual({ "a/x": "1", b: "3" });
  });

  test("keeps a file with two names as two files", async () => {
    const root = tree({ a: "same" });
    linkSync(path.join(root, "a"), path.join(root, "b"));
    await pack(root, { to: at("archive.tgz") });
    await unpack(at("archive.tgz"), { to: at("out") });
    expect(read(at("out"))).toEqual({ a: "same", b: "same" });
  });

  test.each([["/etc/passwd"], ["../x"], ["d/../../x"], ["d/../a"]])(
    "is refused with a link to %s",
    async (target) => {
      const root = tree({ a: "1", "d/x": "2", link: `->${target}` });
      await expect(pack(root, { to: at("archive.tgz") })).rejects.toMatchObject({
        code: "LINK_LEAVES_FOLDER",
        message: expect.stringContaining("link"),
      });
      expect(existsSync(at("archive.tgz"))).toBe(false);
    },
  );

  test("is refused where a path leads through a link, or is one", async () => {
    const root = tree({ "d/x": "1", link: "->d", out: "->/etc" });
    const code = "LINK_LEAVES_FOLDER";
    for (const one of ["link/x", "link", "out/passwd"]) {
      await expect(pack(root, { to: at("a"), paths: [one] })).rejects.toMatchObject({ code });
    }
  });
});

describe("an archive of somebody else", () => {
  const file = (name: string): [Record<string, unknown>, string] => [{ path: name }, "x"];
  const link = (name: string, linkpath: string): [Record<string, unknown>] => [
    { path: name, linkpath, type: "SymbolicLink" },
  ];

  test.each<[string, [Record<string, unknown>, string?][]]>([
    ["an absolute path", [file("/tmp/loom-archive-evil")]],
    ["a path that leaves the folder", [file("../evil")]],
    ["a path that leaves it further in", [file("a/../../evil")]],
    ["a folder above", [[{ path: "../", type: "Directory" }]]],
    ["an absolute link", [link("a", "/etc/passwd")]],
    ["a link that leaves the folder", [link("a", "../x")]],
    ["a link that leaves it by another link", [link("d/up", ".."), link("e", "d/up/../../x")]],
    ["a file through a link", [link("a", "b"), file("b/x"), file("a/y")]],
    ["a link in the place of a folder", [file("a/x"), link("a", "b")]],
    ["a link through a link", [link("a", "."), link("a/b", "..")]],
    ["a file twice", [file("a"), file("a")]],
    ["a file below a file", [file("a"), file("a/b")]],
    ["a folder in the place of a file", [file("a"), [{ path: "a/", type: "Directory" }]]],
    ["a second name of a file", [file("a"), [{ path: "b", linkpath: "a", type: "Link" }]]],
    ["a second name of another file", [[{ path: "b", linkpath: "/etc/passwd", type: "Link" }]]],
    ["a device", [[{ path: "null", type: "CharacterDevice", devmaj: 1, devmin: 3 }]]],
    ["a disk", [[{ path: "sda", type: "BlockDevice", devmaj: 8, devmin: 0 }]]],
    ["a named pipe", [[{ path: "pipe", type: "FIFO" }]]],
    ["a type of another program", [[{ path: "x", type: "GNUDumpDir" }]]],
  ])("with %s is refused, and nothing is left of it", async (_, entries) => {
    writeFileSync(at("x"), "mine");
    const before = readdirSync(folder);
    const archive = write([{ path: "first" }, "1"], ...entries);
    await expect(unpack(archive, { to: at("out") })).rejects.toMatchObject({
      code: "ARCHIVE_UNSAFE",
    });
    expect(readdirSync(folder).sort()).toEqual([...before, "archive"].sort());
    expect(readFileSync(at("x"), "utf8")).toBe("mine");
    expect(existsSync("/tmp/loom-archive-evil")).toBe(false);
  });

  test("does not say what to do about it", async () => {
    const archive = write(file("../a: run this: sh"));
    await expect(unpack(archive, { to: at("out") })).rejects.toMatchObject({
      why: expect.stringContaining("run this"),
      fix: "look at what made it",
    });
  });

  test("with what nobody asked for is refused", async () => {
    const unpackOnly = (only: string[]) =>
      unpack(write(file("out/a"), file("out2")), { to: at("to"), only });
    const code = "ARCHIVE_UNSAFE";
    await expect(unpackOnly(["out"])).rejects.toMatchObject({ code });
    await unpackOnly(["out", "out2"]);
    // A link stays below the path that it came with.
    const archive = write(file("b"), link("out/a", "../b"));
    await expect(unpack(archive, { to: at("x"), only: ["out", "b"] })).rejects.toMatchObject({
      code,
    });
    const replaced = write(link("out", "b"), file("b"));
    await expect(unpack(replaced, { to: at("x"), only: ["out", "b"] })).rejects.toMatchObject({
      code,
    });
  });

  test("gets no set-user-id, and is not unpacked into a folder that is there", async () => {
    await unpack(write([{ path: "a", mode: 0o6755 }, "x"]), { to: at("out") });
    expect(statSync(at("out", "a")).mode & 0o7000).toBe(0);
    await expect(unpack(write(file("b")), { to: at("out") })).rejects.toMatchObject({
      code: "EEXIST",
    });
    expect(read(at("out"))).toEqual({ a: "x" });
  });

  test.each([
    ["text", Buffer.from("no archive")],
    ["nothing", Buffer.alloc(0)],
    ["compressed text", gzipSync("no archive".repeat(100))],
    ["one that ends too early", gzipSync(Buffer.alloc(1_000_000, "x")).subarray(0, 100)],
    ["one that is compressed twice", gzipSync(gzipSync(Buffer.alloc(2_048)))],
  ])("that is %s is refused", async (_, content) => {
    await expect(unpack(raw(content), { to: at("out") })).rejects.toMatchObject({
      code: "ARCHIVE_BROKEN",
    });
    expect(existsSync(at("out"))).toBe(false);
  });

  test("that says to hold too much is refused before it is written", async () => {
    const code = "ARCHIVE_TOO_LARGE";
    const huge = write([{ path: "zeros", size: limits.archiveBytes + 1 }]);
    await expect(unpack(huge, { to: at("out") })).rejects.toMatchObject({ code });
    const header = new Header({ path: "./", type: "Directory", mode: 0o755, size: 0 });
    header.encode();
    const block = header.block ?? Buffer.alloc(0);
    const many = gzipSync(Buffer.concat(Array(limits.archiveEntries + 1).fill(block)));
    await expect(unpack(raw(many), { to: at("out") })).rejects.toMatchObject({ code });
    expect(existsSync(at("out"))).toBe(false);
  });

  test("that names many folders in each of its paths is refused", async () => {
    const archive = write(
      ...Array.from({ length: 20 }, (_, at) => file(`${at}/${"d/".repeat(49)}x`)),
    );
    const { archiveEntries } = limits;
    // As many as there really may be take a minute to make.
    Object.assign(limits, { archiveEntries: 500 });
    try {
      await expect(unpack(archive, { to: at("out") })).rejects.toMatchObject({
        code: "ARCHIVE_TOO_LARGE",
      });
      expect(existsSync(at("out"))).toBe(false);
    } finally {
      Object.assign(limits, { archiveEntries });
    }
  });

  test("that would fill the memory with its links is refused", async () => {
    const long = "x".repeat(1_000_000);
    const archive = write(...Array.from({ length: 70 }, (_, index) => link(`${index}`, long)));
    const code = "ARCHIVE_TOO_LARGE";
    await expect(unpack(archive, { to: at("out") })).rejects.toMatchObject({ code });
  });

  test("that says two sizes of a file is refused", async () => {
    const facts = { path: "a", size: 300_000 };
    const header = new Header({ ...facts, mode: 0o644, type: "File" } as object);
    header.encode();
    const parts = [
      ...[new Pax({ size: 1 } as object, true).encode(), new Pax(facts as object).encode()],
      ...[header.block ?? Buffer.alloc(0), Buffer.alloc(512 * 588)],
    ];
    const archive = raw(gzipSync(Buffer.concat(parts)));
    const code = "ARCHIVE_UNSAFE";
    await expect(unpack(archive, { to: at("out") })).rejects.toMatchObject({ code });
  });

  test("that is compressed twice, and begins with one byte, is refused", async () => {
    const inner = readFileSync(write(file("a")));
    const stored = (content: Buffer, isLast: boolean) => {
      const head = Buffer.from([isLast ? 1 : 0, 0, 0, 0, 0]);
      head.writeUInt16LE(content.length, 1);
      head.writeUInt16LE(0xffff - content.length, 3);
      return Buffer.concat([head, content]);
    };
    const end = Buffer.alloc(8);
    end.writeUInt32LE(crc32(inner), 0);
    end.writeUInt32LE(inner.length, 4);
    const first = stored(inner.subarray(0, 1), false);
    // A file's name, of a length that the first read from the disk ends after the first byte.
    const name = Buffer.concat([Buffer.alloc(65_535 - 10 - first.length, "n"), Buffer.alloc(1)]);
    const archive = raw(
      Buffer.concat([
        Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]),
        ...[name, first, stored(inner.subarray(1), true), end],
      ]),
    );
    const code = "ARCHIVE_BROKEN";
    await expect(unpack(archive, { to: at("out") })).rejects.toMatchObject({ code });
  });

  test("that goes on after its end is read to the end only", async () => {
    const content = Buffer.concat([
      readFileSync(write(file("a"))),
      gzipSync(Buffer.alloc(50_000_000)),
    ]);
    await unpack(raw(content), { to: at("out") });
    expect(read(at("out"))).toEqual({ a: "x" });
  });
});

test.each([
  ["a", "b", ".", false],
  ["a", ".", ".", false],
  ["a", "..", ".", true],
  ["d/a", "..", ".", false],
  ["d/a", "../..", ".", true],
  ["d/a", "..", "d", true],
  ["d", "x", "d", true],
  ["d/e/a", "../x", "d", false],
  ["a", "", ".", true],
  ["a", "b/../c", ".", true],
])("the link %s to %s leaves %s: %s", (link, target, base, leaves) => {
  expect(leavesFolder(link, target, base)).toBe(leaves);
});
