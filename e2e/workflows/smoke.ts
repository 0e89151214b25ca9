export { crossNodeSmoke } from "@loom/workflows";
