import { HubError } from "@loom/client";
import { type FormEvent, useState } from "react";
import { hub } from "../hub.ts";
import { navigate, to } from "../router.tsx";
import { type Problems, problemsOf, readInput, SchemaFields } from "./schema-fields.tsx";

/**
 * A form for a workflow's input, made from its schema. The hub validates the input, and its errors show at
 * the fields. If no node can run the workflow, the hub refuses once with the reason; the user may then start
 * it anyway, and it waits.
 */
export function RunForm({
  workflow,
  schema,
}: {
  workflow: string;
  schema: Record<string, unknown>;
}) {
  const [problems, setProblems] = useState<Problems>(new Map());
  const [isBusy, setBusy] = useState(false);
  const [mayWait, setMayWait] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    try {
      const { runId } = await hub.startRun(workflow, {
        input: readInput(schema, form),
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
      <SchemaFields schema={schema} problems={problems} none="It needs no input." />
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
