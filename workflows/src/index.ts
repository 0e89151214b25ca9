import type { AnyWorkflow } from "@loom/workflow";
import { crossNodeSmoke } from "./cross-node-smoke/workflow.ts";
import { popOsDeploy } from "./popos-deploy/workflow.ts";
import { transcodeFolder } from "./transcode-folder/workflow.ts";

export { type DeployLimits, deployCommands } from "./popos-deploy/commands.ts";
export { crossNodeSmoke, popOsDeploy, transcodeFolder };

/** The workflows that come with Loom. */
export const workflows: readonly AnyWorkflow[] = [crossNodeSmoke, popOsDeploy, transcodeFolder];
