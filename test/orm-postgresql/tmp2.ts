import { database, blind, exec, query } from '../support/postgresql.ts';
import { locate } from '../../lib/orm/drivers/postgresql-connection.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import t from 'tap';
const a = await database([blind('Item')], ['CREATE TABLE item (id serial PRIMARY KEY, x text)']);
await exec(a, "INSERT INTO item (x) SELECT repeat(md5(i::text), 300) FROM generate_series(1, 3000) AS i");
for (const what of ['terminate','cancel']) {
let n=0; const log=(...x:unknown[])=>console.log(...x);
const timer=setTimeout(()=>{console.log('hang'); process.exit(3)},8000);
try { for await (const item of createRowSource(a)) { if (item.type === 'rows' && ++n === 2) log(await query(a, `SELECT pg_${what}_backend(pid), state, wait_event FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '^COPY'`)); if (n%20===0) log(n); } log('done',n); } catch (e) { log('error', n, (e as any).code, (e as any).message); }
clearTimeout(timer);
}
t.pass();
