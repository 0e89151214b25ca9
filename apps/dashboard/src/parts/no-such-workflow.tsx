import { Link } from "../router.tsx";
import { Notice } from "./notice.tsx";

/** Stands in the place of what is asked of a workflow. */
export const NoSuchWorkflow = ({ name }: { name: string }) => (
  <Notice title={`The hub knows no workflow ${name}`}>
    <p>
      <Link href="/workflows">Those that it knows</Link>
    </p>
  </Notice>
);
