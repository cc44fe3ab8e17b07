// The test page's own server: another origin than rungd's, so that CORS is tested too.

import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

const PLAYERS = {
  dashjs: 'dashjs/dist/modern/umd/dash.all.min.js',
  shaka: 'shaka-player/dist/shaka-player.compiled.js',
  hlsjs: 'hls.js/dist/hls.min.js',
};

/** The players there are. */
export const playerNames = Object.keys(PLAYERS);

const root = new URL('..', import.meta.url);

/** Serves the page with that player while `work(origin)` runs. */
export async function withTestPage(player, work) {
  const files = new Map([
    ['/', ['page/index.html', 'text/html; charset=utf-8']],
    ['/player.js', [`node_modules/${PLAYERS[player]}`, 'text/javascript']],
    ...['test', 'drivers', 'monitor'].map((name) => [`/page/${name}.js`, [`page/${name}.js`, 'text/javascript']]),
  ]);
  const server = createServer((request, response) => {
    const [file, type] = files.get(request.url) ?? [];
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': type });
    createReadStream(fileURLToPath(new URL(file, root))).on('error', () => response.destroy()).pipe(response);
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  try {
    return await work(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
