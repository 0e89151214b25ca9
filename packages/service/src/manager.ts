type Variables = Readonly<Record<string, string | undefined>>;

/** Whether a service is a user's own, or the machine's. */
export type Scope = "user" | "system";

/** A program that is to run as a service. */
export interface ServiceDefinition {
  /** A description in one line. */
  title: string;
  /** The program and its arguments, as absolute paths. */
  argv: readonly string[];
  /** The user that a system service runs as. Not used for a user's own service. */
  runAs?: string | undefined;
  /** Its settings, kept in a file of mode 0600. Existing settings are kept. */
  environment: Readonly<Record<string, string>>;
  /**
   * Its secrets by name, each in a file of its own of mode 0600. The program finds such a file by the variable or,
   * as a service of the machine in systemd, as the credential of that name.
   */
  secrets?: Readonly<Record<string, { variable: string; text: string | undefined }>>;
  /** The time that it has to end before it is killed. */
  stopMs: number;
  /** Exit codes after which it is not started again, because a restart would not help. */
  finalExitCodes: readonly number[];
  /** Whether other programs have to find its files in the folder for temporary files. */
  sharesTemp?: boolean;
}

/** The paths of a service's files. */
export interface ServiceFiles {
  /** The description that the manager of services reads: a unit, or a property list. */
  unit: string;
  /** The folder of the two below. */
  config: string;
  /** The settings, as lines of a systemd `EnvironmentFile=`, which a shell reads too. */
  settings: string;
  /** The file of a secret. */
  secret(name: string): string;
}

/** The state of a service. */
export interface ServiceStatus {
  installed: boolean;
  running: boolean;
  pid: number | null;
  /** The manager's own words, such as `active (running)`. */
  detail: string;
}

/** The differences between the managers of services. */
export interface Manager {
  /** The folder and the suffix of its descriptions. */
  unitFile(place: Place): string;
  configFolder(place: Place): string;
  text(definition: ServiceDefinition, place: Place, files: ServiceFiles): string;
  /** Its commands that load the description and start the service; a running service gets the change. */
  start(place: Place, unit: string, change: { isNew: boolean; isChanged: boolean }): Step[];
  /** Its commands that stop it, before and after the description is removed. */
  stop(place: Place, unit: string): { before: Step[]; after: Step[] };
  status(place: Place, run: Run): Promise<Omit<ServiceStatus, "installed">>;
  /** Advice for when its commands fail. */
  advice: string;
  /** Whether a service reads its secrets as its own user. */
  readsAsUser: boolean;
}

/** A service's name, and whose it is. */
export interface Place {
  name: string;
  scope: Scope;
  variables: Variables;
  /** The user's home folder. */
  home: () => string;
}

/** A command of the manager. */
export interface Step {
  argv: readonly [string, ...string[]];
  /** Whether the command may fail because there is nothing to do. */
  mayFail?: boolean;
}

/** Runs a command and returns its output. */
export type Run = (step: Step) => Promise<string>;
