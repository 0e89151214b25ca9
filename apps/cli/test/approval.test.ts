import { describe, expect } from "vitest";
import { exitInDocs, test } from "./fixtures.ts";

/** The text up to the first character of a run's id that lists do not print. */
const short = (id: string) => id.slice(0, 8);

describe("approvals", { timeout: 120_000 }, () => {
  test("are listed, approved with what is typed in and a note, and show who decided", async ({
    loom,
    made,
    queue,
  }) => {
    expect((await loom(["approvals"])).stderr).toContain("nothing waits for a person");
    const id = await made.run("ask");
    const { stdout, stderr } = await loom(["approvals"]);
    expect(stdout).toMatch(new RegExp(`${short(id)} +ask +bill .* Send the bill\\?`));
    expect(stdout).toMatch(new RegExp(`${short(id)} +ask +ship .* Ship it\\?`));
    expect(stderr).toContain(`loom approve ${short(id)}`);

    const approved = await loom([
      ...["approve", short(id), "ship", "-i", "copies=2"],
      ...["--note", "as we said"],
    ]);
    expect(approved).toMatchObject({ code: 0, stdout: "approved by bootstrap token\n" });
    expect(approved.stderr).toContain("ask / ship: Ship it?");
    const job = (await queue.getRun(id)).jobs.find(({ step }) => step === "ship");
    expect(job).toMatchObject({
      state: "succeeded",
      result: { by: "bootstrap token", note: "as we said", input: { copies: 2 } },
    });

    // The only one that is left needs no name; and a job's number is one.
    expect(await loom(["reject", id, "--note", "too early"])).toMatchObject({
      code: 0,
      stdout: "rejected by bootstrap token\n",
    });
    const all = await loom(["approvals", "--all", "--run", short(id)]);
    expect(all.stdout).toMatch(/bill .* rejected by bootstrap token/);
    expect(all.stdout).toMatch(/ship .* approved by bootstrap token/);
  });

  test.for([
    { args: ["approve", "RUN"], code: "AMBIGUOUS_APPROVAL", fix: "name the step" },
    { args: ["approve", "RUN", "shop"], code: "APPROVAL_NOT_FOUND", fix: "ship" },
    { args: ["approve", "999999999"], code: "RUN_NOT_FOUND", fix: "" },
    {
      args: ["approve", "RUN", "bill", "--digest", "0".repeat(64)],
      code: "APPROVAL_CHANGED",
      fix: "",
    },
    { args: ["approve", "RUN", "bill", "--digest", "nonsense"], code: "INVALID_REQUEST", fix: "" },
    { args: ["approve", "RUN", "ship", "-i", "copies=many"], code: "INVALID_INPUT", fix: "" },
    { args: ["reject", "RUN", "bill", "--note", ""], code: "INVALID_REQUEST", fix: "" },
  ])("end as the table says: $args, $code", async ({ args, code, fix }, { loom, made }) => {
    const id = await made.run("ask");
    const ended = await loom(args.map((word) => (word === "RUN" ? id : word)));
    expect(ended.stderr).toContain(`[${code}]`);
    expect(ended.stderr).toContain(fix);
    expect(ended.code).toBe(exitInDocs(code));
    expect(ended.stdout).toBe("");
  });

  test("are decided only by who may", async ({ loom, made }) => {
    const id = await made.run("ask-ada");
    const refused = await loom(["approve", id]);
    expect(refused.stderr).toContain("[APPROVAL_NOT_YOURS]");
    expect(refused.code).toBe(exitInDocs("APPROVAL_NOT_YOURS"));
    const { stdout } = await loom(["token", "add", "ada", "--scope", "read,run", "--json"]);
    const env = { LOOM_TOKEN: JSON.parse(stdout).token.token };
    expect(await loom(["approve", id], { env })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("approved by"),
    });
  });
});
