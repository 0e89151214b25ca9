import { createHash } from "node:crypto";
import type { FileClaim, Queue } from "@loom/queue";
import type { FileRef } from "@loom/workflow";
import type { Sql } from "postgres";
import { claim, offerAll, only, runningJob, sayHello } from "../src/testing/agent.ts";
import { makePlan } from "../src/testing/plan.ts";
import { describeGuards, edit, type Guard } from "./guards/guards.ts";
import { type Lab, untilOverOrBlocked } from "./history-support/lab.ts";

const STORE = "folder";
const fileOf = (content: string): FileRef => ({
  name: "a.txt",
  size: content.length,
  sha256: createHash("sha256").update(content).digest("hex"),
});

/** Whether a call was allowed. */
const isAllowed = (call: Promise<unknown>): Promise<boolean> =>
  call.then(
    (answer) => answer !== null,
    () => false,
  );

/** Two runs, each with a job that a node holds; the first one has a file. */
async function furnish({ queue }: Lab) {
  const mine = await runningJob(queue);
  const own = { node: "forge", job: mine.job.id, fence: mine.job.fence };
  const file = fileOf("secret");
  const id = (await queue.beginFile(own, STORE, file)) ?? "";
  await queue.finishFile(id);
  await queue.startRun(makePlan([{ step: "only" }]));
  const session = await sayHello(queue, "oracle");
  await offerAll(queue, "oracle");
  const job = only(await claim(queue, session));
  return { own, other: { node: "oracle", job: job.id, fence: job.fence }, file, id, mine };
}

/** A file that nobody needs, and a sweep that another call comes into. */
async function race(
  lab: Lab,
  {
    first,
    second,
  }: { first: (sql: Sql) => Promise<unknown>; second: (queue: Queue) => Promise<unknown> },
): Promise<void> {
  await using open = await lab.begin();
  await first(open.sql);
  const calling = second(lab.queue).catch((error: unknown) => lab.errors.push(error));
  await untilOverOrBlocked(lab, calling);
  await open.commit();
  await calling;
}

/** Whether two uploads that end together both fit where their run may have one more file. */
async function mayExceed(lab: Lab, own: FileClaim, id: string): Promise<boolean> {
  const { queue, sql } = lab;
  const [first, second] = [
    await queue.beginFile(own, STORE, fileOf("last")),
    await queue.beginFile(own, STORE, fileOf("too many")),
  ];
  await sql`
    insert into public.loom_run_files (run_id, file, name, is_kept)
    select (select run_id from public.loom_jobs where id = ${own.job}), ${id}, 'name ' || number, true
      from generate_series(1, 9999) as number`;
  await using open = await lab.begin();
  await open.sql`select public.loom_finish_file(${first})`;
  const ending = isAllowed(queue.finishFile(second ?? ""));
  await untilOverOrBlocked(lab, ending);
  await open.commit();
  const areBoth = await ending;
  await sql`delete from public.loom_run_files where name like 'name %'`;
  return areBoth;
}

/** What goes wrong with files. Nothing, while all guards are there. */
async function findFaults(lab: Lab): Promise<string[]> {
  const { queue, sql } = lab;
  const { own, other, file, id, mine } = await furnish(lab);
  const faults: string[] = [];
  const forbid = async (what: string, call: Promise<unknown>) => {
    if (await isAllowed(call)) faults.push(what);
  };
  const late = { ...own, fence: own.fence - 1 };
  await forbid("a stale claim stores", queue.beginFile(late, STORE, fileOf("late")));
  await forbid(
    "another node stores",
    queue.beginFile({ ...own, node: "oracle" }, STORE, fileOf("x")),
  );
  await forbid("a stale claim reads", queue.openFile(late, file.sha256));
  await forbid("another run reads", queue.openFile(other, file.sha256));
  await forbid(
    "a name leads out of a folder",
    queue.beginFile(own, STORE, { ...fileOf("named"), name: "../../x" }),
  );
  await forbid(
    "a file is too large",
    queue.beginFile(own, STORE, { ...fileOf("large"), size: 5 * 2 ** 30 + 1 }),
  );

  if (await mayExceed(lab, other, id)) faults.push("a run has too many files");

  // An upload that is finished when its job is over.
  const begun = await queue.beginFile(own, STORE, fileOf("begun"));
  await queue.settle("forge", [
    { id: own.job, fence: own.fence, outcome: "succeeded", result: file },
  ]);
  await forbid("a settled job finishes an upload", queue.finishFile(begun ?? ""));
  await forbid("a settled job reads", queue.openFile(own, file.sha256));
  if ((await queue.takeUnusedFiles(STORE, { graceMs: 0 })).includes(id)) {
    faults.push("a run's file is swept");
  }

  // A sweep, with another call in the midst of it.
  for (const [name, call] of Object.entries({
    start: (shared: FileRef) => queue.startRun({ ...makePlan([{ step: "a" }]), input: shared }),
    upload: async (shared: FileRef) => {
      const copy = await queue.beginFile(other, STORE, shared);
      return await queue.finishFile(copy ?? "");
    },
  })) {
    const shared = fileOf(`shared by ${name}`);
    const unused = await queue.beginUpload(STORE, shared);
    await queue.finishFile(unused);
    await sql`update public.loom_files set used_at = used_at - interval '2 days' where id = ${unused}`;
    await race(lab, {
      first: (open) => open`select public.loom_take_unused_files(${STORE})`,
      second: () => call(shared),
    });
  }
  // The other order.
  const shared = fileOf("shared");
  const unused = await queue.beginUpload(STORE, shared);
  await queue.finishFile(unused);
  await sql`update public.loom_files set used_at = used_at - interval '2 days' where id = ${unused}`;
  await race(lab, {
    first: (open) => open`select public.loom_use_files(${mine.runId}, ${JSON.stringify(shared)})`,
    second: () => queue.takeUnusedFiles(STORE),
  });
  await sql`update public.loom_files set used_at = used_at - interval '2 days' where id = ${unused}`;
  if ((await queue.takeUnusedFiles(STORE)).includes(unused)) faults.push("a run's file is swept");

  // Two uploads of one content end together.
  const twin = fileOf("twin");
  const [one, two] = [await queue.beginUpload(STORE, twin), await queue.beginUpload(STORE, twin)];
  await race(lab, {
    first: (open) => open`select public.loom_finish_file(${one})`,
    second: () => queue.finishFile(two),
  });
  // A run goes, and a sweep comes into the midst of that; and the other way round.
  for (const order of ["run", "sweep"]) {
    const last = fileOf(`the last of ${order}`);
    const sent = await queue.beginUpload(STORE, last);
    await queue.finishFile(sent);
    const { runId } = await queue.startRun({ ...makePlan([{ step: "a" }]), input: last });
    await queue.cancelRun(runId);
    await sql`update public.loom_files set used_at = used_at - interval '2 days' where id = ${sent}`;
    await sql`update public.loom_runs set finished_at = finished_at - interval '90 days' where id = ${runId}`;
    const isRun = order === "run";
    await race(lab, {
      first: (open) =>
        isRun
          ? open`select public.loom_prune(30)`
          : open`select public.loom_take_unused_files(${STORE})`,
      second: () => (isRun ? queue.takeUnusedFiles(STORE) : queue.prune({ keepDays: 30 })),
    });
  }
  // Nobody forgets a file that a run has.
  await queue.forgetFiles([id]).catch(() => {});
  if ((await queue.findRunFile(mine.runId, file.sha256)) === null)
    faults.push("a file is forgotten");
  return [...faults, ...lab.errors.map(String), ...(await queue.verify())];
}

const CLAIM = "run_of_claim";
const TAKE = "take_unused_files";

/** Every guard of sql/files.sql, taken out one at a time. */
const GUARDS: readonly Guard[] = [
  {
    title: "the fence is not checked",
    edits: [edit(CLAIM, "or v_job.fence is distinct from p_fence ")],
    fault: /stale claim stores/,
  },
  {
    title: "the node is not checked",
    edits: [edit(CLAIM, "or v_job.ran_on is distinct from p_node ")],
    fault: /another node stores/,
  },
  {
    title: "the state of the job is not checked",
    edits: [
      edit(
        CLAIM,
        "or v_job.state <> 'running'\n     or v_job.fence is distinct from p_fence or v_job.settled_fence >= v_job.fence",
        "or v_job.fence is distinct from p_fence",
      ),
    ],
    fault: /settled job reads/,
  },
  {
    title: "finishing an upload does not ask for the claim again",
    edits: [
      edit(
        "finish_file",
        "v_run := public.loom_run_of_claim(v_file.node, v_file.job_id, v_file.fence);",
        "v_run := (select run_id from public.loom_jobs where id = v_file.job_id);",
      ),
    ],
    fault: /settled job finishes/,
  },
  {
    title: "a file is found for any run",
    edits: [edit("find_run_file", "had.run_id = p_run and ")],
    fault: /another run reads/,
  },
  {
    title: "names are not checked",
    edits: [edit("check_file", "or p_name in ('.', '..') or p_name ~ '[/\\\\[:cntrl:]]' ")],
    fault: /leads out/,
  },
  {
    title: "sizes are not checked",
    edits: [edit("check_file", "p_size > public.loom_limit('file_bytes')", "false")],
    fault: /too large/,
  },
  {
    title: "a sweep takes what runs have",
    edits: [
      edit(
        TAKE,
        "\n     and not exists (select from public.loom_run_files where loom_run_files.file = file.id);",
        ";",
      ),
    ],
    fault: /swept|removing/,
  },
  {
    title: "a sweep does not lock the files",
    edits: [edit(TAKE, "limit 10 * p_limit\n       for update skip locked", "limit 10 * p_limit")],
    fault: /removing|no sweep looks/,
  },
  {
    title: "a run that goes does not say which files it had",
    edits: [edit("prune", "  perform public.loom_release_files(v_files);\n")],
    fault: /no sweep looks at it/,
  },
  {
    title: "a start does not lock the files of its input",
    edits: [edit("use_files", "\n       for share")],
    fault: /removing/,
  },
  {
    title: "an upload does not look at the file of before again",
    edits: [
      edit(
        "finish_file",
        "digest = v_file.digest and state = 'stored'\n       for no key update",
        "digest = v_file.digest and state = 'stored'",
      ),
    ],
    fault: /removing/,
  },
  {
    title: "two uploads of one run do not wait for each other",
    edits: [edit("finish_file", "    perform public.loom_lock_files_of(v_run);\n")],
    fault: /too many files/,
  },
  {
    title: "two uploads of one content do not wait for each other",
    edits: [
      edit(
        "finish_file",
        "  perform pg_advisory_xact_lock(hashtextextended('loom file ' || v_file.digest, 0));\n",
      ),
    ],
    fault: /unique|duplicate/,
  },
];

describeGuards("files", GUARDS, findFaults);
