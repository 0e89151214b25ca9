import { useState } from "react";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { navigate, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** Starts a workflow at once if it needs no input; otherwise opens its form. */
export function RunStarter() {
  const workflows = useHub("workflows", (call) => hub.listStrands(call));
  const [chosen, setChosen] = useState<string>();
  const mayRun = useHasScope("run");
  const names = (workflows.data?.data ?? []).map(({ name }) => name);
  const [first] = names;
  if (!mayRun || first === undefined) return null;
  const workflow = chosen ?? first;

  const start = async () => {
    const { inputSchema } = await hub.getStrand(workflow);
    const required = inputSchema.required;
    if (Array.isArray(required) && required.length > 0) navigate(to("workflows", workflow));
    else await hub.startRun(workflow, { input: {} });
  };

  return (
    <div className="run-starter">
      <select
        aria-label="Workflow"
        value={workflow}
        onChange={({ target }) => setChosen(target.value)}
      >
        {names.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <ActionButton kind="main" action={start}>
        Run
      </ActionButton>
    </div>
  );
}
