import { connect, isIP } from "node:net";
import { createTransport } from "nodemailer";
import { isRefusedAddress, RefusedAddressError, resolveHost } from "./addresses.ts";
import type { Message } from "./message.ts";
import { defaultPort, type Target } from "./targets.ts";

/** How a mail server answered. */
export interface MailAnswer {
  status: number | undefined;
  answer: string;
}

const LOOPBACK = /^(?:127\..*|::1)$/;

/**
 * Sends a message as an e-mail. A password is sent only over TLS, except to this machine. The `Message-ID` is the same
 * at every attempt, so that mail programs show a repeated one once.
 *
 * @throws The errors of `nodemailer`, which have the server's answer.
 */
export async function sendEmail(
  { server, user, password, from, to }: Extract<Target, { kind: "email" }>,
  { id, title, text, link, at }: Message,
  { signal }: { signal: AbortSignal },
): Promise<MailAnswer> {
  const { protocol, hostname, port } = new URL(server);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) && isRefusedAddress(host)) throw new RefusedAddressError(host);
  const [found] = await resolveHost(host);
  const address = found?.address ?? host;
  // A connection of our own can be ended at any moment.
  const connection = connect({
    host: address,
    port: Number(port) || defaultPort(protocol),
    signal,
  });
  connection.on("error", () => {});
  const hasPassword = user !== undefined && password !== undefined;
  const transport = createTransport({
    host: address,
    secure: protocol === "smtps:",
    requireTLS: hasPassword && protocol === "smtp:" && !LOOPBACK.test(address),
    // The certificate is that of the name, not of the address.
    ...(isIP(host) === 0 && { servername: host, tls: { servername: host } }),
    ...(hasPassword && { auth: { user, pass: password } }),
    getSocket: (_, done) => {
      connection.once("connect", () => done(null, { connection }));
      connection.once("error", (error) => done(error, false));
    },
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const { response } = await transport.sendMail({
      from: { name: "Loom", address: from },
      to: [...to],
      subject: title,
      text: link === undefined ? text : `${text}\n\n${link}`,
      messageId: `<${id}@${from.split("@").at(-1)}>`,
      date: at,
      headers: { "auto-submitted": "auto-generated" },
    });
    return { status: statusOf(response), answer: response };
  } finally {
    connection.destroy();
  }
}

/** The three digits that an answer begins with. A server may send more of them. */
export const statusOf = (answer: string | undefined): number | undefined => {
  const digits = /^[2-5]\d\d(?!\d)/.exec(answer ?? "")?.[0];
  return digits === undefined ? undefined : Number(digits);
};
