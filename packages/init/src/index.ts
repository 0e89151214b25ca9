export { createProject, ProjectError, type ProjectOptions } from "./create-project.ts";
