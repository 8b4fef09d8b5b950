// What a client sees behind a proxy that lets no WebSocket through: a refused upgrade, and streams
// of server-sent events, of a test's making or of the gateway behind it.
import { once } from 'node:events';
import { createServer, get } from 'node:http';

export class Stub {
  asked = [];
  upgrades = 0;
  status = 200;

  /** Without the port of a gateway it says itself what there is to say. */
  static async start(port) {
    const stub = new Stub();
    stub.port = port;
    stub.server = createServer((request, answer) => stub.#answer(request, answer));
    stub.server.on('upgrade', (_, socket) => {
      stub.upgrades += 1;
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
    stub.server.listen(0, '127.0.0.1');
    await once(stub.server, 'listening');
    stub.url = `ws://127.0.0.1:${stub.server.address().port}/ws`;
    return stub;
  }

  #answer(request, answer) {
    const url = new URL(request.url, 'http://stub');
    if (this.port) {
      const { port } = this, { url: path, headers } = request;
      const asked = get({ host: '127.0.0.1', port, path, headers }, from => from.pipe(answer.writeHead(from.statusCode, from.headers)));
      return answer.once('close', () => asked.destroy());
    }
    if (url.pathname !== '/sse' || this.status !== 200) return answer.writeHead(this.status === 200 ? 404 : this.status).end('because');
    this.asked.push(url);
    this.stream = answer;
    answer.writeHead(200, { 'content-type': 'text/event-stream' });
    answer.write(': a comment\r\nretry: 1000\r\n\r\n');
    this.say(JSON.stringify({ type: 'welcome', session: '1', channels: url.searchParams.getAll('channel') }));
  }

  /** An event, cut into two writes wherever that falls. */
  say(text) {
    const bytes = Buffer.from(`id: 00000000000000aa:1\r\ndata: ${text}\r\n\r\n`), half = bytes.length >> 1;
    this.stream.write(bytes.subarray(0, half));
    this.stream.write(bytes.subarray(half));
  }

  end() { this.stream.end(); }

  async close() { this.server.closeAllConnections(); this.server.close(); }
}
