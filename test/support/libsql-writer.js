// A writer in a thread of its own, on a libSQL server: the module blocks the thread that asks.
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const require = createRequire(new URL('../matrix/mikro-orm-7/orm.js', import.meta.url));
const Database = require('libsql');
const db = new Database(workerData.url);
let stopped = false;
parentPort.on('message', () => {
  stopped = true;
});

for (let i = 3001; !stopped; i++) {
  db.exec('BEGIN IMMEDIATE');
  db.exec(`INSERT INTO account (id, email) VALUES (${i}, '${i}@x')`);
  db.exec(`INSERT INTO entry VALUES (${i}, ${i}, ${i})`);
  db.exec(`UPDATE entry SET amount = amount + ${i % 2 ? 1 : -1} WHERE id = ${1000 + (i % 500)}`);
  db.exec(`UPDATE entry SET amount = amount - ${i % 2 ? 1 : -1} WHERE id = ${2000 + (i % 500)}`);
  db.exec('COMMIT');
  if (i === 3003) parentPort.postMessage('writing');
  await new Promise((done) => setTimeout(done, 2));
}
db.close();
process.exit(0);
