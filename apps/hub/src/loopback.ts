const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

/** Whether a host name or address always means the machine that uses it. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);
