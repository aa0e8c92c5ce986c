/** Walks the imports of lib/ and holds the walls that ARCHITECTURE.md draws. A wall may be moved: there and here, with its reason. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import t from 'tap';

const ROOT = join(import.meta.dirname, '..');

interface Import {
  from: string;
  /** A path below lib/, or a package's name, or `node:x`. */
  to: string;
  typeOnly: boolean;
}

const files = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.includes('assembly'))
  .map((name) => join('lib', name))
  .sort();

/** `orm`, `format`, ... for what lies in a folder; the file's own name for what lies in lib/ itself. */
function roomOf(path: string): string {
  const [, first, ...rest] = path.split('/');
  return rest.length > 0 ? first! : path.slice('lib/'.length);
}

function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const named = /^\s*\{([\s\S]*)\}\s*$/.exec(clause)?.[1];
  return named?.split(',').every((name) => !name.trim() || name.trim().startsWith('type ')) ?? false;
}

function importsOf(path: string): Import[] {
  const source = readFileSync(join(ROOT, path), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const found: Import[] = [];
  const add = (target: string, typeOnly: boolean) => {
    const to = target.startsWith('.') ? normalize(join(dirname(path), target)) : target;
    found.push({ from: path, to, typeOnly });
  };
  for (const [, clause, target] of source.matchAll(/^\s*(?:import|export)\b([^'";]*?)\bfrom\s*'([^']+)'/gm))
    add(target!, isTypeOnly(clause!));
  for (const [, target] of source.matchAll(/^\s*import\s+'([^']+)'/gm)) add(target!, false);
  for (const [, target] of source.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)) add(target!, false);
  return found;
}

const imports = files.flatMap(importsOf);
const inside = imports.filter(({ to }) => to.startsWith('lib/'));

/** What a room may import at run time, and what else it may know the types of. */
const WALLS: Record<string, { values: string[]; types?: string[] }> = {
  'errors.ts': { values: [] },
  'memory.ts': { values: [] },
  'garbage.ts': { values: [] },
  'nearest.ts': { values: [] },
  'checks.ts': { values: ['errors.ts', 'nearest.ts'] },
  format: { values: ['errors.ts'] },
  crypto: { values: ['errors.ts'] },
  erasure: { values: ['errors.ts'] },
  container: { values: ['errors.ts', 'memory.ts', 'format', 'crypto', 'erasure'] },
  stages: { values: ['errors.ts', 'memory.ts', 'garbage.ts', 'format', 'crypto', 'erasure', 'container'] },
  sinks: { values: ['errors.ts', 'memory.ts', 'nearest.ts', 'checks.ts'], types: ['container', 'format'] },
  files: { values: ['errors.ts', 'memory.ts'], types: ['format'] },
  orm: { values: ['errors.ts', 'memory.ts', 'garbage.ts', 'nearest.ts', 'checks.ts', 'files'], types: ['format'] },
  // The suite for sinks lends memory to them, and sees it come back.
  testkit: { values: ['errors.ts', 'memory.ts', 'format'], types: ['sinks', 'container'] },
  catalog: { values: ['errors.ts'] },
  notify: { values: ['errors.ts'] },
};
const BELOW_COMPOSITION = Object.keys(WALLS);
/** Packages, by who may import them at run time. Everything else is Node's own. */
const PACKAGES: Record<string, string[]> = {
  'hash-wasm': ['crypto'],
  '@scure/base': ['crypto'],
  'stream-chain': ['pipeline.ts'],
  '@fastify/busboy': ['web'],
  commander: ['cli'],
  croner: ['catalog'],
  'pg-copy-streams': ['orm'],
  'ssh2-sftp-client': ['sinks'],
  '@aws-sdk/client-s3': ['sinks'],
};

const show = ({ from, to }: Import): string => `${from} imports ${to}`;
const isComposition = (room: string): boolean => room.endsWith('.ts') && !(room in WALLS);

t.test('every room keeps to its walls', async (t) => {
  t.ok(files.length > 100 && inside.length > 300, `${files.length} files, ${inside.length} imports between them`);
  for (const room of [...new Set(files.map(roomOf))]) {
    if (room === 'cli' || room === 'web' || isComposition(room)) continue;
    const wall = WALLS[room];
    t.ok(wall, `${room} is a room that is known here`);
    const broken = inside.filter(({ from, to, typeOnly }) => {
      const target = roomOf(to);
      if (roomOf(from) !== room || target === room) return false;
      return !(wall!.values.includes(target) || (typeOnly && wall!.types?.includes(target)));
    });
    t.same(broken.map(show), [], `${room} imports nothing that it must not`);
  }
});

t.test('composition, the command and the web', async (t) => {
  const composed = inside.filter(({ from }) => isComposition(roomOf(from)));
  const broken = composed.filter(({ to }) => !BELOW_COMPOSITION.includes(roomOf(to)) && !isComposition(roomOf(to)));
  t.same(broken.map(show), [], 'composition imports rooms and composition');
  for (const [room, more] of [
    ['cli', ['errors.ts', 'testkit']],
    // Names and lengths of time, and what options are held to.
    ['web', ['errors.ts', 'catalog', 'checks.ts']],
  ] as const) {
    t.same(
      inside.filter(({ from, to }) => roomOf(to) === room && roomOf(from) !== room).map(show),
      [],
      `nothing imports ${room}`,
    );
    const reached = inside.filter(({ from, to, typeOnly }) => {
      const target = roomOf(to);
      if (roomOf(from) !== room || target === room || typeOnly) return false;
      return !(isComposition(target) || (more as readonly string[]).includes(target));
    });
    t.same(reached.map(show), [], `${room} uses what is public, and types`);
  }
});

t.test('records know no streams', async (t) => {
  const streams = imports.filter(
    ({ from, to }) => ['format', 'crypto', 'erasure', 'container'].includes(roomOf(from)) && /^node:stream/.test(to),
  );
  t.same(
    streams.map(show).filter((s) => !s.startsWith('lib/container/spool.ts')),
    [],
  );
  const kernel = imports.filter(
    ({ from, to }) => ['format', 'erasure'].includes(roomOf(from)) && /^node:(fs|net|http|child)/.test(to),
  );
  t.same(kernel.map(show), [], 'and these two nothing of the outside world');
});

t.test('packages', async (t) => {
  const foreign = imports.filter(({ to }) => !to.startsWith('lib/') && !to.startsWith('node:'));
  const mikro = foreign.filter(({ to }) => to.startsWith('@mikro-orm/'));
  t.same(
    mikro.filter(({ from, typeOnly }) => roomOf(from) !== 'orm' || !typeOnly).map(show),
    [],
    'MikroORM: types only, and only in lib/orm',
  );
  const names = (to: string) =>
    to
      .split('/')
      .slice(0, to.startsWith('@') ? 2 : 1)
      .join('/');
  const unknown = foreign.filter(({ from, to, typeOnly }) => {
    if (to.startsWith('@mikro-orm/') || typeOnly) return false;
    return !PACKAGES[names(to)]?.includes(roomOf(from));
  });
  t.same(unknown.map(show), [], 'others: only where they are expected');
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >;
  const installed = Object.keys({
    ...manifest.dependencies,
    ...manifest.peerDependencies,
    ...manifest.optionalDependencies,
  });
  const used = [...new Set(foreign.filter((i) => !i.typeOnly).map(({ to }) => names(to)))];
  t.same(
    used.filter((name) => !installed.includes(name)),
    [],
    'all that is imported is a dependency',
  );
});

t.test('no room goes round in circles', async (t) => {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of inside) if (!typeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (file: string, path: string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      cycles.push([...path.slice(path.indexOf(file)), file].map((f) => relative('lib', f)).join(' -> '));
      return;
    }
    state.set(file, 'open');
    for (const target of next.get(file) ?? []) visit(target, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of files) visit(file, []);
  t.same(cycles, [], 'of imports at run time');
});

t.test('the map names every room', async (t) => {
  const map = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const rooms = [...new Set(files.map(roomOf))].filter((room) => !room.endsWith('.ts'));
  t.same(
    rooms.filter((room) => !map.includes(`\`${room}/\``)),
    [],
  );
});
