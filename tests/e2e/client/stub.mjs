// What a client sees behind a proxy that lets no WebSocket through: a refused upgrade, and streams
// of server-sent events.
import { once } from 'node:events';
import { createServer } from 'node:http';

export class Stub {
  asked = [];
  upgrades = 0;
  status = 200;

  static async start() {
    const stub = new Stub();
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
    if (url.pathname !== '/sse' || this.status !== 200) return answer.writeHead(this.status === 200 ? 404 : this.status).end('because');
    this.asked.push(url);
    this.stream = answer;
    answer.writeHead(200, { 'content-type': 'text/event-stream' });
    answer.write(': a comment\r\nretry: 1000\r\n\r\n');
    this.say(JSON.stringify({ type: 'welcome', session: '1', channels: url.searchParams.getAll('channel') }));
  }

  /** An event, cut into two writes wherever that falls. */
  say(text) {
    const lines = text.split('\n').map(line => `data: ${line}\r\n`).join('');
    const bytes = Buffer.from(`id: 00000000000000aa:1\r\n${lines}\r\n`), half = bytes.length >> 1;
    this.stream.write(bytes.subarray(0, half));
    this.stream.write(bytes.subarray(half));
  }

  end() { this.stream.end(); }

  async close() { this.server.closeAllConnections(); this.server.close(); }
}
