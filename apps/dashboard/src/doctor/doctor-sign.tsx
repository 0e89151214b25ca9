import { Link } from "../router.tsx";
import type { Examined } from "./use-doctor.ts";

/** Leads to the doctor from every page while a check fails. */
export function DoctorSign({ examined }: { examined: Examined | undefined }) {
  const failed = examined?.checks.filter(({ status }) => status === "fail").length ?? 0;
  if (failed === 0) return null;
  return (
    <Link href="/doctor" className="doctor-sign">
      <span aria-hidden="true">✕</span> {failed}{" "}
      <span className="doctor-words">{failed === 1 ? "check fails" : "checks fail"}</span>
    </Link>
  );
}
