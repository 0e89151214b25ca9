import { HubError } from "@loom/client";
import { useId } from "react";
import { describe } from "../parts/notice.tsx";
import { type Field, FieldError, fieldsOf, readJson, toInput } from "./fields.ts";

type Schema = Record<string, unknown>;

/** Messages of a form by field; a message of no field is under the empty name. */
export type Problems = ReadonlyMap<string, string>;

/** The fields of an input, made from its JSON Schema; one field for JSON if it is no object. */
export function SchemaFields({
  schema,
  problems,
  none,
}: {
  schema: Schema;
  problems: Problems;
  /** Shown if the input has no fields. */
  none?: string;
}) {
  const prefix = useId();
  const fields = fieldsOf(schema);
  if (fields === undefined) {
    return (
      <div className="field">
        <label htmlFor={prefix}>Input, as JSON</label>
        <textarea id={prefix} name="input" rows={6} spellCheck={false} defaultValue="{}" />
        {problems.has("input") && <p className="problem">{problems.get("input")}</p>}
      </div>
    );
  }
  if (fields.length === 0) return none === undefined ? null : <p className="muted">{none}</p>;
  return fields.map((field) => (
    <FieldRow
      key={field.name}
      id={`${prefix}-${field.name}`}
      field={field}
      problem={problems.get(field.name)}
    />
  ));
}

/**
 * Reads the input from a form with these fields.
 *
 * @throws FieldError if a value does not fit its field's kind.
 */
export function readInput(schema: Schema, form: HTMLFormElement): unknown {
  const fields = fieldsOf(schema);
  const values = new Map([...new FormData(form)].map(([name, value]) => [name, String(value)]));
  return fields ? toInput(fields, values) : readJson("input", values.get("input") ?? "");
}

/** What is wrong with the fields of a form, from the hub's answer or the form itself. */
export function problemsOf(error: unknown): Problems {
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

function FieldRow({
  field,
  id,
  problem,
}: {
  field: Field;
  id: string;
  problem: string | undefined;
}) {
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
