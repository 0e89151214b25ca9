export { popOsDeploy } from "@loom/workflows";
