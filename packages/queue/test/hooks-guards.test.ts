import { describeGuards, edit, type Guard } from "./guards/guards.ts";
import { findFaults } from "./guards/hooks-situations.ts";

const DERIVE = "derive_deliveries";
const WAITS = "find_long_waits";
const TAKE = "take_deliveries";
const RECORD = "record_delivery";
const ADD = "add_deliveries";
/** What keeps a message about an occurrence from being written again. */
const WRITTEN_ONCE = [
  edit(
    ADD,
    `     where not exists (
       select from public.loom_hook_deliveries as known
        where (known.hook, known.rule, known.subject, known.occurrence)
              = (hook.name, given.rule, given.subject, given.occurrence))
`,
  ),
  edit(ADD, "    on conflict do nothing\n"),
];

/** The guards of hooks.sql, occurrences.sql and deliveries.sql, taken out one at a time. */
const GUARDS: readonly Guard[] = [
  {
    title: "every run that ends has failed",
    edits: [
      edit(
        DERIVE,
        "taken.type = 'run.finished' and taken.state = 'failed'",
        "taken.type = 'run.finished'",
      ),
    ],
    fault: /^message .* says that run .* failed, and it is/m,
  },
  {
    title: "every success is a recovery",
    edits: [edit(DERIVE, "and earlier.status = 'failed'")],
    fault: /recovered that had not failed/,
  },
  {
    title: "a failure is a recovery",
    edits: [edit(DERIVE, "and taken.state = 'succeeded' and earlier", "and earlier")],
    fault: /recovered that fails/,
  },
  {
    title: "a cancelled run stands between failure and recovery",
    edits: [
      edit(
        DERIVE,
        " and finished_at is not null and status <> 'cancelled'",
        " and finished_at is not null",
      ),
    ],
    fault: /did not recover once/,
  },
  {
    title: "a session that a person ended is a loss",
    edits: [
      edit(DERIVE, "taken.type = 'node.dead' and taken.detail is null", "taken.type = 'node.dead'"),
    ],
    fault: /whose session a person ended/,
  },
  {
    title: "a machine that was draining is a loss",
    edits: [
      edit(DERIVE, "where node.name = taken.node and node.status = 'draining'", "where false"),
    ],
    fault: /lost that was draining/,
  },
  {
    title: "an approval is asked that was decided",
    edits: [edit(DERIVE, " and approval.state = 'pending'")],
    fault: /of one approval that is asked there are 2/,
  },
  {
    title: "events are read whose neighbours are still open",
    edits: [
      edit(
        DERIVE,
        "(v_cursor.xid, v_cursor.id) and xid < v_horizon",
        "(v_cursor.xid, v_cursor.id)",
      ),
    ],
    fault: /late event was lost/,
  },
  {
    title: "the cursor of another server stays",
    edits: [edit(DERIVE, "if v_cursor.xid > v_horizon then", "if false then")],
    fault: /silent after a restore/,
  },
  {
    title: "an occurrence is written again",
    edits: [...WRITTEN_ONCE],
    drops: ["loom_delivery_once"],
    fault: /^hook all has 2 messages about one run.failed of/m,
  },
  {
    title: "the cursor stays where it is",
    edits: [
      edit(
        DERIVE,
        "      update public.loom_hook_cursor set xid = v_next.xid, id = v_next.id where is_one;\n",
      ),
      ...WRITTEN_ONCE,
    ],
    drops: ["loom_delivery_once"],
    fault: /^hook all has 2 messages about one run.failed of/m,
  },
  {
    title: "a hook learns of what was before it",
    edits: [
      edit(ADD, "on hook.enabled_at <= given.at\n       and", "on hook.enabled_at is not null and"),
    ],
    fault: /learned of what was while it was disabled/,
  },
  {
    title: "a hook gets messages of every workflow",
    edits: [
      edit(
        ADD,
        "any (hook.rules) and (hook.workflows = '{}' or given.workflow = any (hook.workflows))",
        "any (hook.rules)",
      ),
    ],
    fault: /a hook got another workflow's/,
  },
  {
    title: "a hook gets messages of every rule",
    edits: [edit(ADD, "(given.rule = any (hook.rules) and (hook", "((hook")],
    fault: /got what no workflow names it for/,
  },
  {
    title: "a workflow that names a hook names it for all",
    edits: [
      edit(
        ADD,
        "(given.workflow, given.rule, hook.name) in (select workflow_id, said.rule, said.hook from",
        "hook.name in (select said.hook from",
      ),
    ],
    fault: /got what no workflow names it for/,
  },
  {
    title: "what is beyond the backlog is kept",
    edits: [edit(ADD, " where rank <= public.loom_limit('hook_backlog')")],
    fault: /more messages are kept/,
  },
  {
    title: "hooks are not held while something is written for them",
    edits: [
      edit(
        ADD,
        "perform from public.loom_hooks where enabled_at is not null order by name for key share;",
      ),
    ],
    fault: /notify|foreign key|another hook got nothing/,
  },
  {
    title: "a paused workflow's steps wait too long",
    edits: [
      edit(
        WAITS,
        "\n       and not exists (select from public.loom_paused_workflows as paused where paused.workflow_id = ready.workflow_id)",
      ),
    ],
    fault: /paused workflow waits too long/,
  },
  {
    title: "a step waits too long as soon as it waits",
    edits: [edit(WAITS, "on ready.run_at <= v_now - hook.patience\n       and", "on")],
    fault: /that has just begun/,
  },
  {
    title: "each step that waits has a message",
    edits: [edit(WAITS, "coalesce(last.at <= v_now - hook.patience, true)\n       and not", "not")],
    fault: /before the time had passed again/,
  },
  {
    title: "steps that are known have another message",
    edits: [
      edit(
        WAITS,
        "coalesce(ready.run_at > last.at - hook.patience, true) as is_new",
        "true as is_new",
      ),
    ],
    drops: [],
    fault: /about steps that it knew/,
  },
  {
    title: "waits are looked for at every round",
    edits: [
      edit(WAITS, "       set waits_checked_at = v_now\n", "       set waits_checked_at = null\n"),
    ],
    fault: /more often than in a tenth/,
  },
  {
    title: "the first hook reads the past",
    edits: [
      edit(
        "begin_hooks",
        "update public.loom_hook_cursor set xid = pg_snapshot_xmin(pg_current_snapshot()), id = 0 where is_one;",
        "null;",
      ),
    ],
    fault: /all events of the past/,
  },
  {
    title: "a changed hook begins anew",
    edits: [
      edit(
        "change_hook",
        "case when p_enabled then coalesce(enabled_at, clock_timestamp()) end",
        "case when p_enabled then clock_timestamp() end",
      ),
    ],
    fault: /change lost what had happened/,
  },
  {
    title: "a disabled hook keeps its messages",
    edits: [edit("change_hook", "if v_hook.enabled_at is null then", "if false then")],
    fault: /disabled hook has messages to send/,
  },
  {
    title: "rules are not checked",
    edits: [edit("change_hook", "perform public.loom_check_rules(p_rules);")],
    fault: /a rule that does not exist/,
  },
  {
    title: "hooks have no limit",
    edits: [
      edit(
        "create_hook",
        "if (select count(*) from public.loom_hooks) >= public.loom_limit('hooks') then",
        "if false then",
      ),
    ],
    fault: /more hooks than may be/,
  },
  {
    title: "a test ignores the backlog",
    edits: [edit("test_hook", "     >= public.loom_limit('hook_backlog') then", "     < 0 then")],
    fault: /test is added to a full hook/,
  },
  {
    title: "any hub says what workflows notify",
    edits: [edit("sync_notify", "if not public.loom_is_leader(p_epoch) then", "if false then")],
    fault: /that does not lead/,
  },
  {
    title: "a workflow that is not named loses what it said",
    edits: [
      edit(
        "sync_notify",
        "where workflow_id in (select item ->> 'workflow' from json_array_elements(p_notify) as item);",
        "where true;",
      ),
    ],
    fault: /lost what it said/,
  },
  {
    title: "any hub takes messages",
    edits: [edit(TAKE, "if not public.loom_is_leader(p_epoch) then", "if false then")],
    fault: /takes messages that does not lead/,
  },
  {
    title: "messages are taken for busy hooks",
    edits: [
      edit(TAKE, "where hook.name <> all (p_busy)))\n       and", "where true))\n       and"),
    ],
    fault: /taken for a busy hook/,
  },
  {
    title: "a hook sends several messages at once",
    edits: [edit(TAKE, "order by next_at, id limit 1) as next", "order by next_at, id) as next")],
    fault: /several messages under way/,
  },
  {
    title: "a message that is taken stays due",
    edits: [edit(TAKE, "next_at = v_now + interval '1 minute', sent_at", "sent_at")],
    fault: /taken twice|due while it is sent/,
  },
  {
    title: "taking locks nothing and looks only once",
    edits: [
      edit(TAKE, "\n       for no key update skip locked);", ");"),
      edit(TAKE, "       and next_at <= v_now\n     order by id", "     order by id"),
    ],
    fault: /two hubs took the same/,
  },
  {
    title: "the outcome of any attempt counts",
    edits: [
      edit(RECORD, " and attempts = p_attempt and next_at is not null", " and next_at is not null"),
    ],
    fault: /older attempt counts/,
  },
  {
    title: "a message that has arrived can fail",
    edits: [
      edit(
        RECORD,
        " and attempts = p_attempt and next_at is not null",
        " and attempts = p_attempt",
      ),
    ],
    fault: /has arrived fails afterwards/,
  },
  {
    title: "attempts have no number",
    edits: [edit(TAKE, "set attempts = attempts + 1, next_at", "set next_at")],
    fault: /older attempt counts|loom_delivery_due/,
  },
  {
    title: "a message is tried for ever",
    edits: [
      edit(
        RECORD,
        "v_is_last  boolean := p_attempt > cardinality(c_delays_s);",
        "v_is_last  boolean := false;",
      ),
    ],
    fault: /tried 20 times|loom_delivery_due/,
  },
  {
    title: "a message is sent again that is still tried",
    edits: [edit("redeliver", "if v_delivery.next_at is not null then", "if false then")],
    fault: /sent again that is still tried/,
  },
  {
    title: "a hook sends another's message again",
    edits: [edit("redeliver", " and hook = p_hook for no key update", " for no key update")],
    fault: /another's message again/,
  },
];

describeGuards("hooks", GUARDS, findFaults);
