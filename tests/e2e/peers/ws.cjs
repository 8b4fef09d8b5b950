// A client written by others: ws, the one of most Node.js programs, with permessage-deflate.
// Usage: node ws.cjs HOST:PORT
'use strict';
const assert = require('node:assert');
const WebSocket = require('ws');

const [address] = process.argv.slice(2);
const OPTIONS = [
  true,
  { threshold: 0 },
  { threshold: 0, clientMaxWindowBits: 9, serverMaxWindowBits: 9 },
  { threshold: 0, clientMaxWindowBits: 15, serverMaxWindowBits: 13 },
  { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
  false,
];
const LENGTHS = [0, 1, 100, 125, 126, 1000, 16383, 16384, 16385, 60000];

function text(length) {
  const words = ['alpha ', 'beta ', 'gamma ', 'äöü ', '{"price":12.5},'];
  let made = '';
  for (let at = 0; Buffer.byteLength(made) < length; at += 1) {
    made += words[(at * 7 + length) % words.length];
  }
  return made;
}

async function run(perMessageDeflate, at) {
  const socket = new WebSocket(`ws://${address}/ws?channel=peer-${at}`, { perMessageDeflate });
  const waiting = [];
  socket.on('message', (data, isBinary) => waiting.shift()(isBinary ? data : data.toString()));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  assert.strictEqual(Boolean(socket.extensions), Boolean(perMessageDeflate), 'it is agreed on');
  const echo = (data, options) => new Promise((resolve, reject) => {
    waiting.push(resolve);
    socket.once('close', (code, why) => reject(new Error(`closed: ${code} ${why}`)));
    socket.send(data, options);
  });
  for (const length of LENGTHS) {
    const message = text(length);
    for (const compress of [true, false]) {
      assert.strictEqual(await echo(message, { compress }), message);
      const bytes = Buffer.from(message);
      assert.ok(bytes.equals(await echo(bytes, { compress })));
    }
    const half = Math.floor(message.length / 2);
    socket.send(message.slice(0, half), { fin: false });
    assert.strictEqual(await echo(message.slice(half), { fin: true }), message);
  }
  socket.removeAllListeners('close');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.close(1000);
  assert.strictEqual(await closed, 1000);
}

(async () => {
  for (const [at, options] of OPTIONS.entries()) await run(options, at);
  console.log(`${OPTIONS.length * LENGTHS.length * 5} messages came back`);
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
