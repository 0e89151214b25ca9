import type { ChangedHook, HookRule, HookTargetRequest } from "@loom/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { FormEnd, useSubmit } from "../parts/form-end.tsx";

const WHEN: Readonly<Record<HookRule, string>> = {
  "run.failed": "a run failed",
  "run.recovered": "a workflow works again",
  "step.waiting": "a step waits too long",
  "approval.asked": "a step asks a person",
  "node.lost": "a machine is lost",
  "schedule.missed": "a schedule missed a time",
};
const RULES = Object.keys(WHEN) as HookRule[];

type Kind = HookTargetRequest["kind"];

interface Field {
  name: string;
  label: string;
  placeholder: string;
  isSecret?: boolean;
  isOptional?: boolean;
}

const address = (placeholder: string): Field => ({ name: "url", label: "Address", placeholder });

/** The fields of each kind of target. */
const KINDS: Readonly<Record<Kind, { name: string; fields: readonly Field[] }>> = {
  webhook: { name: "a signed webhook", fields: [address("https://example.org/loom")] },
  ntfy: {
    name: "ntfy",
    fields: [
      address("https://ntfy.sh/my-topic"),
      {
        name: "token",
        label: "Access token",
        placeholder: "none",
        isSecret: true,
        isOptional: true,
      },
    ],
  },
  slack: { name: "Slack or alike", fields: [address("https://hooks.slack.com/services/…")] },
  email: {
    name: "e-mail",
    fields: [
      { name: "server", label: "Server", placeholder: "smtps://mail.example.org:465" },
      { name: "user", label: "User", placeholder: "none", isOptional: true },
      {
        name: "password",
        label: "Password",
        placeholder: "none",
        isSecret: true,
        isOptional: true,
      },
      { name: "from", label: "From", placeholder: "loom@example.org" },
      { name: "to", label: "To", placeholder: "ada@example.org" },
    ],
  },
};
const kinds = Object.keys(KINDS) as Kind[];

/** A form that adds a hook. */
export function HookForm({ onMade }: { onMade: (hook: ChangedHook) => void }) {
  const [kind, setKind] = useState<Kind>("ntfy");
  const [waits, setWaits] = useState(false);
  const submission = useSubmit(async (data, form) => {
    const given = (name: string) => String(data.get(name) ?? "").trim();
    const rules = RULES.filter((rule) => data.getAll("rule").includes(rule));
    const minutes = Number(given("minutes"));
    const workflows = given("workflows")
      .split(/[\s,]+/)
      .filter(Boolean);
    const made = await hub.createHook({
      name: given("name"),
      rules,
      workflows,
      ...(rules.includes("step.waiting") && minutes > 0 && { waitingMs: minutes * 60_000 }),
      target: readTarget(kind, given),
    });
    onMade(made);
    form.reset();
    setWaits(false);
  });

  return (
    <form className="inline-form" onSubmit={submission.onSubmit}>
      <label>
        <span>Name</span>
        <input
          name="name"
          maxLength={63}
          placeholder="phone"
          spellCheck={false}
          autoComplete="off"
        />
      </label>
      <fieldset className="choices">
        <legend>When</legend>
        {RULES.map((rule) => (
          <label key={rule}>
            <input
              type="checkbox"
              name="rule"
              value={rule}
              defaultChecked={rule === "run.failed" || rule === "run.recovered"}
              onChange={({ target }) => rule === "step.waiting" && setWaits(target.checked)}
            />{" "}
            {WHEN[rule]}
          </label>
        ))}
      </fieldset>
      {waits && (
        <label>
          <span>Too long is, in minutes</span>
          <input name="minutes" type="number" min={1} max={10_080} defaultValue={30} required />
        </label>
      )}
      <label>
        <span>Only for the workflows</span>
        <input
          name="workflows"
          maxLength={2_000}
          placeholder="all"
          spellCheck={false}
          autoComplete="off"
        />
      </label>
      <label>
        <span>To</span>
        <select value={kind} onChange={({ target }) => setKind(target.value as Kind)}>
          {kinds.map((each) => (
            <option key={each} value={each}>
              {KINDS[each].name}
            </option>
          ))}
        </select>
      </label>
      {KINDS[kind].fields.map(({ name, label, placeholder, isSecret, isOptional }) => (
        <label key={`${kind} ${name}`}>
          <span>{label}</span>
          <input
            name={name}
            type={isSecret ? "password" : "text"}
            required={!isOptional}
            maxLength={2_000}
            placeholder={placeholder}
            spellCheck={false}
            autoComplete="off"
          />
        </label>
      ))}
      <FormEnd name="Add the hook" submission={submission} />
    </form>
  );
}

function readTarget(kind: Kind, given: (name: string) => string): HookTargetRequest {
  switch (kind) {
    case "email":
      return {
        kind,
        server: given("server"),
        from: given("from"),
        to: given("to")
          .split(/[\s,]+/)
          .filter(Boolean),
        ...(given("user") && { user: given("user"), password: given("password") }),
      };
    case "ntfy":
      return { kind, url: given("url"), ...(given("token") && { token: given("token") }) };
    default:
      return { kind, url: given("url") };
  }
}
