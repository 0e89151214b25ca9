import { buildDashboard } from "./build-dashboard.ts";

// The build as a program. Its output is one line: whether it built.
console.log((await buildDashboard()) ? "built" : "as built before");
