import { HubError } from "@loom/hub/client";
import { type FormEvent, useState } from "react";
import { hub } from "../hub.ts";
import { describe } from "../parts/notice.tsx";
import { navigate, to } from "../router.tsx";
import { type Field, FieldError, fieldsOf, readJson, toInput } from "./fields.ts";

/**
 * A workflow's input as a form, made from its schema. The hub checks it; what it says is shown at the field.
 * What no node can run is refused once, with the reason: asked again, it is started and waits.
 */
export function RunForm({
  workflow,
  schema,
}: {
  workflow: string;
  schema: Record<string, unknown>;
}) {
  const fields = fieldsOf(schema);
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const [isBusy, setBusy] = useState(false);
  const [mayWait, setMayWait] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const values = new Map([...data].map(([name, value]) => [name, String(value)]));
    setBusy(true);
    try {
      const input = fields ? toInput(fields, values) : readJson("input", values.get("input") ?? "");
      const { runId } = await hub.startRun(workflow, {
        input,
        ...(mayWait && { allowUnsatisfiable: true }),
      });
      navigate(to("runs", runId));
    } catch (error) {
      setProblems(problemsOf(error));
      setMayWait(error instanceof HubError && error.code === "UNSATISFIABLE");
      setBusy(false);
    }
  };

  return (
    <form className="run-form" onSubmit={(event) => void submit(event)} noValidate>
      {fields === undefined && <JsonInput problem={problems.get("input")} />}
      {fields?.map((field) => (
        <FieldRow key={field.name} field={field} problem={problems.get(field.name)} />
      ))}
      {fields?.length === 0 && <p className="muted">It needs no input.</p>}
      {problems.has("") && (
        <p className="problem" role="alert">
          {problems.get("")}
        </p>
      )}
      <button type="submit" className="main" disabled={isBusy}>
        {mayWait ? "Start it all the same, and let it wait" : `Run ${workflow}`}
      </button>
    </form>
  );
}

/** By field; what belongs to none is under the empty name. */
function problemsOf(error: unknown): ReadonlyMap<string, string> {
  if (error instanceof FieldError) return new Map([[error.field, error.message]]);
  const errors = error instanceof HubError ? (error.problem?.errors ?? []) : [];
  if (errors.length === 0) return new Map([["", describe(error).detail]]);
  return new Map([
    ["", describe(error).detail],
    ...errors.map(
      ({ path, message }) => [path.split(/[./]/).filter(Boolean).at(-1) ?? "", message] as const,
    ),
  ]);
}

const JsonInput = ({ problem }: { problem: string | undefined }) => (
  <div className="field">
    <label htmlFor="input">Input, as JSON</label>
    <textarea id="input" name="input" rows={6} spellCheck={false} defaultValue="{}" />
    {problem && <p className="problem">{problem}</p>}
  </div>
);

function FieldRow({ field, problem }: { field: Field; problem: string | undefined }) {
  const id = `field-${field.name}`;
  const shared = {
    id,
    name: field.name,
    "aria-describedby": `${id}-help`,
    "aria-invalid": problem !== undefined,
    "aria-required": field.isRequired,
  };
  return (
    <div className="field">
      <label htmlFor={id}>
        {field.name} {!field.isRequired && <span className="muted">optional</span>}
      </label>
      <FieldControl field={field} shared={shared} />
      <p id={`${id}-help`} className={problem ? "problem" : "muted"}>
        {problem ?? field.description}
      </p>
    </div>
  );
}

function FieldControl({ field, shared }: { field: Field; shared: Record<string, unknown> }) {
  const { kind, initial, choices } = field;
  if (kind === "choice" || kind === "boolean") {
    const options = kind === "boolean" ? ["true", "false"] : choices;
    return (
      <select {...shared} defaultValue={initial}>
        <option value="">not given</option>
        {options.map((option) => (
          <option key={option}>{option}</option>
        ))}
      </select>
    );
  }
  if (kind === "json")
    return <textarea {...shared} rows={3} spellCheck={false} defaultValue={initial} />;
  const inputMode = kind === "text" ? "text" : kind === "integer" ? "numeric" : "decimal";
  return <input {...shared} inputMode={inputMode} defaultValue={initial} spellCheck={false} />;
}
