/** Prompts and progress on a real (pseudo-)terminal: no echo, asked twice, the terminal as it was before. Needs python3. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cleanEnvironment, NODE, program, root, scratch } from './support.ts';

const available = spawnSync('python3', ['-c', 'import pty']).status === 0;
const skip = available ? false : 'NOT TESTED: prompts on a terminal, for want of python3 with its pty module';

/** Runs a shell line in a terminal: `dbs` is the program. */
function inTerminal(line: string, steps: [expected: string, typed: string][], env: Record<string, string> = {}) {
  const dbs = `dbs() { env ${NODE.map((word) => `'${word}'`).join(' ')} '${program()}' "$@"; }`;
  const argv = [join(root, 'test/cli/in_terminal.py'), JSON.stringify(steps), 'sh', '-c', `${dbs}; ${line}`];
  const run = spawnSync('python3', argv, {
    cwd: scratch,
    env: cleanEnvironment({ TERM: 'xterm', ...env }),
    encoding: 'utf8',
  });
  return { code: run.status, shown: (run.stdout + run.stderr).replaceAll('\x1b[K', '<CLEAR>') };
}

const QUICK = '--kdf-memory 8 --kdf-iterations 1 --kdf-parallelism 1';

t.test('sealing what comes through a pipe, with a passphrase from the terminal', { skip }, async (t) => {
  const sealed = inTerminal(`printf 'some data' | dbs seal s.dbs ${QUICK}`, [
    ['New passphrase: ', 'open sesame\r'],
    ['The same again: ', 'open sesame\r'],
  ]);
  t.equal(sealed.code, 0, sealed.shown);
  t.match(sealed.shown, /^New passphrase: \r\nThe same again: \r\n/);
  t.notMatch(sealed.shown, 'sesame', 'no echo');
  t.match(sealed.shown, /\r(Writing|Verifying).*<CLEAR>/, 'a bar');
  t.match(sealed.shown, /\r<CLEAR>Sealed 9 B\./, 'which is gone in the end');

  const opened = inTerminal('dbs unseal s.dbs | cat; stty -a', [['Passphrase: ', 'opem\x7fn sesame\r']]);
  t.match(opened.shown, /^Passphrase: \r\n(.|\n|\r)*some data/, opened.shown);
  t.match(opened.shown, /\secho\s/, 'the terminal echoes again');
  const redirected = inTerminal('dbs ls s.dbs 2> err.txt > out.txt; cat out.txt', [['Passphrase: ', 'open sesame\r']]);
  t.match(redirected.shown, 'stream', 'the question comes to the terminal though stderr goes elsewhere');
});

t.test('what is refused', { skip }, async (t) => {
  const differ = inTerminal(`echo x | dbs seal d.dbs ${QUICK}`, [
    ['New passphrase: ', 'one\r'],
    ['The same again: ', 'two\r'],
  ]);
  t.match(differ, { code: 2, shown: /The two passphrases differ/ });
  t.notOk(existsSync(join(scratch, 'd.dbs')));
  t.match(inTerminal('dbs ls s.dbs', [['Passphrase: ', 'wrong\r']]), { code: 12, shown: /Wrong passphrase/ });
  const stopped = inTerminal('dbs ls s.dbs; code=$?; stty -a; exit $code', [['Passphrase: ', 'half\x03']]);
  t.match(stopped, { code: 130, shown: /Interrupted/ }, 'Ctrl-C');
  t.match(stopped.shown, /\secho\s/);
  t.match(
    inTerminal('dbs ls s.dbs', [['Passphrase: ', '\x04']]),
    { code: 2, shown: /No passphrase was typed/ },
    'Ctrl-D',
  );
  t.match(inTerminal('echo x | dbs seal', []), { code: 2, shown: /ERR_CLI_STDOUT_TTY/ });
  t.match(inTerminal('dbs seal x.dbs', []), { code: 2, shown: /Stdin is a terminal/ });
  t.match(inTerminal('dbs validate -', []), { code: 2, shown: /Stdin is a terminal/ });
});
