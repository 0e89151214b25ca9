/** What Loom itself needs to know, and no step does. */
const OWN = [
  "DATABASE_URL",
  "LOOM_NODE_KEY",
  "LOOM_TOKEN",
  "OPTIMALOS_TOKEN",
  "SUPABASE_SECRET_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
];

/** The environment for steps: that of the agent without the credentials of Loom itself. */
export const stepEnvironment = (
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => !OWN.includes(name)));
