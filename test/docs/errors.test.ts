/** docs/errors.md and the source say the same. */
import { dirname, join } from 'node:path';
import t from 'tap';
import { exitCodeOf } from '../../lib/cli/exit-codes.ts';
import * as errors from '../../lib/errors.ts';
import { filesBelow, read } from './support.ts';

const PAGE = 'docs/errors.md';
const CODE = /\b(?:ERR|WARN)_[A-Z0-9]+(?:_[A-Z0-9]+)*(?![_A-Z0-9])/g;
/** Node's own, which the source may look for. */
const FOREIGN =
  /^ERR_(STREAM_PREMATURE_CLOSE|STREAM_DESTROYED|MODULE_NOT_FOUND|REQUIRE_ESM|INVALID_URL|UNSUPPORTED_TYPESCRIPT_SYNTAX|UNKNOWN_FILE_EXTENSION|CRYPTO_ARGON2_NOT_SUPPORTED)$/;
/** What `dbs` says of errors that are not this package's: its own exit codes. */
const NO_CLASS: Record<string, number> = { ERR_INTERRUPTED: 130, ERR_UNEXPECTED: 1 };

function codesIn(paths: string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of paths) {
    for (const [code] of read(path).matchAll(CODE)) if (!FOREIGN.test(code)) found.set(code, path);
  }
  return found;
}

/** `| code | class | exit | what happened | what to do |`, and two columns for warnings. */
const rows = read(PAGE)
  .split('\n')
  .filter((line) => /^\| `(ERR|WARN)_/.test(line))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replace(/^`([^`]*)`$/, '$1')),
  );
const documented = new Map(rows.map((row) => [row[0]!, row]));
const sources = filesBelow('lib', '.ts');
const inSource = codesIn(sources);
/** A driver that is not registered yet throws nothing that a user could meet. */
const inUse = codesIn(
  reachable('lib/index.ts', 'lib/cli/main.ts', 'lib/stages/index.ts', 'lib/testkit/index.ts', 'lib/web/index.ts'),
);

/** These files and all that they import of ours. */
function reachable(...entries: string[]): string[] {
  const found = new Set(entries);
  for (const path of found) {
    for (const [, target] of read(path).matchAll(/(?:from|import\()\s*'(\.[^']+\.ts)'/g))
      found.add(join(dirname(path), target!));
  }
  return [...found];
}

t.test('each code of the source is documented, once, and the other way round', async (t) => {
  const missing = [...inUse].filter(([code]) => !documented.has(code));
  t.same(missing, [], `${PAGE} lacks codes of the source`);
  t.same(
    [...documented.keys()].filter((code) => !inSource.has(code)),
    [],
    `${PAGE} has codes that no source throws`,
  );
  t.equal(rows.length, documented.size, 'no code stands twice');
});

t.test('class and exit code are those of the source', async (t) => {
  const classes = errors as unknown as Record<string, new (code: string, message: string, options: object) => Error>;
  for (const [code, , exit, what, todo] of rows) {
    if (code!.startsWith('WARN_')) continue;
    t.ok(what && todo, `${code} says what happened and what to do`);
    const name = documented.get(code!)![1]!;
    if (name === '-') t.equal(Number(exit), NO_CLASS[code!], `${code} ends with ${exit}`);
    else t.equal(exitCodeOf(new classes[name]!(code!, '', { blocks: [] })), Number(exit), `${code} ends with ${exit}`);
  }
  for (const path of sources) {
    for (const [, name, code] of read(path).matchAll(/new (\w+Error)\(\s*'(ERR_\w+)'/g)) {
      if (documented.has(code!)) t.equal(documented.get(code!)?.[1], name, `${code} is a ${name} in ${path}`);
    }
  }
});

t.test('the classes that the page explains are all there are', async (t) => {
  const exported = Object.keys(errors).filter((name) => name.endsWith('Error') && name !== 'BackupError');
  const explained = [...read(PAGE).matchAll(/^\| (`\w+Error`(?:, `\w+Error`)*) \|/gm)].flatMap(([, cell]) =>
    cell!.replaceAll('`', '').split(', '),
  );
  t.same(explained.sort(), exported.sort());
});

t.test('which codes a test mentions', async (t) => {
  const tests = filesBelow('test', '.ts').filter((path) => !path.startsWith('test/docs/'));
  const tested = codesIn(tests);
  const untested = [...inUse.keys()].filter((code) => !tested.has(code)).sort();
  t.comment(`${untested.length} of ${inUse.size} codes are in no test: ${untested.join(', ')}`);
});
