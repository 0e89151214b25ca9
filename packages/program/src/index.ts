export {
  capabilities,
  EnvError,
  execPolicy,
  isOn,
  list,
  logLevel,
  nodeName,
  parsed,
  readVariables,
  stateDir,
  supabaseUrl,
  type Variables,
  wakeSetting,
  wholeNumber,
} from "./env.ts";
export { createToExit, type Exit, type ExitCodes, endWithReader, runProgram } from "./exit.ts";
export { createProgramLog, toLogged } from "./log.ts";
export {
  createNodeResolver,
  findFolderModules,
  identifyMachine,
  keepToken,
  openQueue,
  ownTailnetIdentity,
  ownWorkflows,
  readVersion,
  stateDirOf,
} from "./open.ts";
export { agentCode, hubCode, type OwnCode, openOwnCode } from "./open-code.ts";
