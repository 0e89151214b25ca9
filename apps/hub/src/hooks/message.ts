import type { TakenDelivery } from "@loom/queue";

/** What a message says, for every kind of target. */
export interface Message {
  /** The same at every attempt. */
  id: string;
  rule: TakenDelivery["rule"];
  hook: string;
  /** When it was decided. */
  at: Date;
  /** One line. */
  title: string;
  text: string;
  /** The page of the dashboard that shows more; undefined if the hub has no address for others. */
  link: string | undefined;
  facts: Readonly<Record<string, unknown>>;
}

/** Says what happened in a title and a few lines. */
export function describeOccurrence({
  rule,
  subject,
  facts,
}: Pick<TakenDelivery, "rule" | "subject" | "facts">): Pick<Message, "title" | "text"> {
  const given = readFacts(facts);
  const fact = (name: string): string | undefined =>
    given[name] === null || given[name] === undefined ? undefined : String(given[name]);
  const [title, ...lines] = sentences[rule](fact, subject);
  const text = lines.filter((line) => line !== undefined).map((line) => toText(line, 1_000));
  return { title: toLine(title ?? rule, 200), text: text.join("\n") };
}

/** The path of the page of the dashboard that shows the subject. */
export function pathOf({
  rule,
  subject,
  facts,
}: Pick<TakenDelivery, "rule" | "subject" | "facts">) {
  const { run, job } = readFacts(facts);
  if (rule === "node.lost") return `/nodes/${encodeURIComponent(subject)}`;
  if (rule === "schedule.missed") return "/schedules";
  if (rule === "approval.asked") return "/approvals";
  if (rule === "test") return `/notifications/${encodeURIComponent(subject)}`;
  if (typeof run === "string") return `/runs/${encodeURIComponent(run)}`;
  return typeof job === "number" ? `/explain?job=${job}` : "/queue";
}

/** Facts as an object; they come from the database's functions. */
export const readFacts = (facts: TakenDelivery["facts"]): Readonly<Record<string, unknown>> =>
  typeof facts === "object" && facts !== null ? (facts as Readonly<Record<string, unknown>>) : {};

type Fact = (name: string) => string | undefined;

const sentences: Record<
  TakenDelivery["rule"],
  (fact: Fact, subject: string) => (string | undefined)[]
> = {
  "run.failed": (fact) => [
    `${fact("workflow")} failed`,
    fact("step") === undefined
      ? "No step of the run says why."
      : `Step ${fact("step")} failed${fact("node") ? ` on ${fact("node")}` : ""}: ${causeOf(fact("error"))}`,
    `Run ${fact("run")}, started ${fact("schedule") ? `by its schedule ` : ""}at ${timeOf(fact("startedAt"))}.`,
  ],
  "run.recovered": (fact) => [
    `${fact("workflow")} works again`,
    `Run ${fact("run")} succeeded. The one before it failed at ${timeOf(fact("failedAt"))}.`,
  ],
  "step.waiting": (fact) => [
    `${fact("workflow")} waits`,
    `Step ${fact("step")} has waited since ${timeOf(fact("since"))}${othersOf(Number(fact("steps")))}.`,
    fact("reason"),
  ],
  "approval.asked": (fact) => [
    `${fact("workflow")} asks: ${fact("question") ?? "for an approval"}`,
    `Step ${fact("step")} waits for a person${fact("expiresAt") ? ` until ${timeOf(fact("expiresAt"))}` : ""}.`,
    fact("who") ? `It may be decided by ${fact("who")?.replaceAll(",", ", ")}.` : undefined,
    `Run ${fact("run")}, approval ${fact("job")}.`,
  ],
  "node.lost": (fact, subject) => [
    `${subject} is lost`,
    `The machine was last heard of at ${timeOf(fact("lastSeenAt"))}. Its steps go to other machines.`,
  ],
  "schedule.missed": (fact, subject) => [
    `${subject} missed ${fact("slots") === "1" ? "a time" : `${fact("slots")} times`} of its schedule`,
    `No run started for ${timeOf(fact("lastAt"))}: ${fact("reason") ?? "no reason is known"}.`,
  ],
  test: (fact, subject) => [
    `Test of ${subject}`,
    `${fact("askedBy") ?? "Somebody"} sent this to see whether it arrives.`,
  ],
};

const othersOf = (steps: number): string =>
  steps > 1 ? `, and ${steps - 1} more of this workflow wait as well` : "";

/** `2026-11-30 17:25 UTC` */
function timeOf(text: string | undefined): string {
  const at = new Date(text ?? Number.NaN);
  if (Number.isNaN(at.getTime())) return "an unknown time";
  return `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** The message of an error, which is kept as JSON text and may be cut off. */
function causeOf(error: string | undefined): string {
  if (error === undefined) return "no error is known";
  try {
    const { message, code } = JSON.parse(error) as { message?: unknown; code?: unknown };
    return String(message ?? code ?? error);
  } catch {
    return error;
  }
}

/** Text without control characters, cut to a length. */
const toText = (text: string, most: number): string =>
  cut(text.replaceAll(/[^\P{C}\n]/gu, " "), most);

/** The same in one line, so that it can be a header. */
const toLine = (text: string, most: number): string => cut(text.replaceAll(/\p{C}+/gu, " "), most);

const cut = (text: string, most: number): string => {
  const letters = [...text.trim()];
  return letters.length <= most ? letters.join("") : `${letters.slice(0, most - 1).join("")}…`;
};
