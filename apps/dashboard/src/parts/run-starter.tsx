import { useState } from "react";
import { hub } from "../hub.ts";
import { navigate, to } from "../router.tsx";
import { useMay } from "../session-context.tsx";
import { useHub } from "../use-hub.ts";
import { ActButton } from "./act-button.tsx";

/** Starts a workflow from wherever one is: at once when it needs no input, by its form when it does. */
export function RunStarter() {
  const strands = useHub("strands", (call) => hub.listStrands(call));
  const [chosen, setChosen] = useState<string>();
  const mayRun = useMay("run");
  const names = (strands.data?.data ?? []).map(({ name }) => name);
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
      <ActButton kind="main" act={start}>
        Run
      </ActButton>
    </div>
  );
}
