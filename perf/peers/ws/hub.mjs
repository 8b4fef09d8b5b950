// A peer: ws on Node.js, a set of sockets per channel. `node hub.mjs PORT`

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const channels = new Map();
const server = createServer((_, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

sockets.on("connection", (socket, request) => {
  const url = new URL(request.url, "http://localhost");
  const name = url.searchParams.get("channel") ?? "";
  const members = channels.get(name) ?? new Set();
  channels.set(name, members);
  socket.on("error", () => socket.terminate());
  if (url.pathname === "/pub") {
    socket.on("message", (data, isBinary) => {
      for (const member of members) member.send(data, { binary: isBinary });
    });
    return;
  }
  members.add(socket);
  socket.on("close", () => members.delete(socket));
});

server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
