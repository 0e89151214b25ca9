// Another machine with an agent's address. Prints a line for every connection that reaches it.
import { createServer } from "node:net";

const { address, port } = JSON.parse(process.argv[2] ?? "") as { address: string; port: number };
createServer((socket) => {
  console.log(`called from ${socket.remoteAddress}`);
  socket.destroy();
}).listen(port, address, () => console.log("listening"));
