import { hub } from "../hub.ts";
import { useLiveState } from "../live/live-context.tsx";
import { CopyLine } from "../parts/copy-line.tsx";
import { Link } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** Proposes the first steps on a new hub: run a workflow, add a machine, write a workflow. */
export function FirstSteps({ hasRun }: { hasRun: boolean }) {
  const { map } = useLiveState();
  const [only, ...others] = [...map.nodes.values()];
  const isAlone = only !== undefined && others.length === 0;
  if (hasRun && !isAlone) return null;
  return (
    <div>
      <h3>Next</h3>
      <ul className="happenings">
        {!hasRun && <li>Choose a workflow above and press Run.</li>}
        {isAlone && (
          <li>
            {only.name} is the only machine. <Link href="/add-machine">Add a machine</Link>
          </li>
        )}
        {!hasRun && (
          <li className="first-step">
            Write a workflow of your own:
            <CopyLine text={INIT} label="the command" />
          </li>
        )}
      </ul>
    </div>
  );
}

/** Creates a folder for workflows. */
export const INIT = "npm run init -- ../my-workflows";

/** Reports workflow files that the hub cannot use. */
export function BrokenFiles() {
  const workflows = useHub(
    "workflows",
    (call) => hub.listStrands(call),
    ({ type }) => type.startsWith("workflow."),
  );
  const problems = workflows.data?.problems ?? [];
  const [first] = problems;
  if (!first) return null;
  return (
    <p className="cause cause-failed">
      <Link href="/workflows">
        {problems.length} workflow {problems.length === 1 ? "file is" : "files are"} broken
      </Link>
      : {first.file.split("/").at(-1)}: {first.message}
    </p>
  );
}
