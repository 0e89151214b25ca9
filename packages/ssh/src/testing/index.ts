export { type Credentials, makeCredentials } from "./credentials.ts";
export { type Channel, type SshServer, startSshServer } from "./ssh-server.ts";
export { type Sshd, type SshdOptions, startSshd, whySshdIsMissing } from "./sshd.ts";
