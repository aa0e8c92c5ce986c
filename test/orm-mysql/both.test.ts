/** From MariaDB into MySQL and back: two servers that understand one dialect, each with types of its own. */
import t from 'tap';
import {
  cleanUp,
  copy,
  exec,
  failure,
  isMaria,
  mariaServer,
  openDatabase,
  query,
  serverRuns,
  type TestOrm,
  tables,
} from '../support/mysql.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

const DDL = [
  `CREATE TABLE parent (id INT(11) PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL UNIQUE)`,
  `CREATE TABLE child (id BIGINT(20) UNSIGNED PRIMARY KEY, parent INT(11), flag TINYINT(1), exact DECIMAL(20,5), ratio DOUBLE, single FLOAT, born DATE, seen DATETIME(6),
    stamp TIMESTAMP NULL, wakes TIME(3), years YEAR(4), word VARCHAR(50), body LONGTEXT, bytes LONGBLOB, bits BIT(9), pick ENUM('a','b'), picks SET('x','y'), spot POINT,
    old VARCHAR(20) CHARACTER SET latin1, FOREIGN KEY (parent) REFERENCES parent (id))`,
  'CREATE TABLE note (id INT PRIMARY KEY, doc JSON)',
];
const ROWS = [
  "INSERT INTO parent VALUES (3, 'á'), (9, 'b')",
  `INSERT INTO child VALUES (18446744073709551615, 3, 1, -123456789012345.12345, -1.2345678901234567e-100, 0.1, '0000-00-00', '2024-02-29 23:59:59.999999', '2038-01-19 03:14:07',
    '-838:59:59', 2155, '👩‍👩‍👧‍👦', REPEAT('x', 1500000), X'00FF', b'100000001', 'b', 'x,y', POINT(0.1, -3), 'é€')`,
  `INSERT INTO child (id, seen, pick) VALUES (0, '0000-00-00 00:00:00', 0)`,
];
const NAMES = ['parent', 'child', 'note'];
const COUNTED =
  'SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND AUTO_INCREMENT > 0';
/** What both servers write alike. */
const SEEN = `SELECT id, parent, flag, exact, CONCAT(ratio), single, born, seen, stamp, wakes, years, word, SHA2(body, 256), HEX(bytes), bits + 0, CONCAT(pick + 0, pick), picks, HEX(spot),
  HEX(old) FROM child ORDER BY id`;

t.test('MariaDB and MySQL', { skip: (await isMaria()) && 'where the suite runs on MySQL' }, async (t) => {
  const open = (place?: typeof mariaServer, ...more: string[]): Promise<TestOrm> =>
    openDatabase([...DDL, ...more], tables(...NAMES), {}, place);
  const rows = async (orm: TestOrm) => [
    await query(orm, SEEN),
    await query(orm, 'SELECT * FROM parent ORDER BY id'),
    await query(orm, COUNTED),
  ];
  const maria = await open(mariaServer, ...ROWS);
  const mysql = await open();
  const except = { except: ['note'] };
  await copy(maria, mysql, except);
  t.same(await rows(mysql), await rows(maria), 'display widths, which only MariaDB has, are no drift');
  t.match((await copy(maria, mysql, except)).tables, [{ untouched: 2 }, { untouched: 2 }]);
  const back = await open(mariaServer);
  await copy(mysql, back, except);
  t.same(await rows(back), await rows(maria), 'and back');

  await exec(mysql, `INSERT INTO note VALUES (1, '{"b": [1.5, null], "a": "é"}'), (2, NULL), (3, 'null')`);
  const documents = await query(mysql, 'SELECT * FROM note ORDER BY id');
  await copy(mysql, back, { only: ['note'] });
  t.same(await query(back, 'SELECT * FROM note ORDER BY id'), documents, 'JSON is text in MariaDB');
  const empty = await open();
  t.match(await failure(copy(back, empty, { only: ['note'] })), {
    code: 'ERR_RESTORE_SCHEMA_DRIFT',
    message: /longtext into json/,
  });
  await copy(back, empty, { only: ['note'], allowDrift: true });
  t.same(await query(empty, 'SELECT * FROM note ORDER BY id'), documents, 'and in MySQL a type of its own');
});
