/** X25519 keys as text, in Bech32 (BIP 173) as age's are: `dbs1…` is public, `DBS-SECRET-KEY-1…` is secret. */
import { bech32 } from '@scure/base';
import { ConfigError } from '../errors.ts';

const PUBLIC = 'dbs';
const SECRET = 'dbs-secret-key-';

export function encodePublicKey(key: Buffer): string {
  return bech32.encodeFromBytes(PUBLIC, key);
}

export function encodeSecretKey(key: Buffer): string {
  return bech32.encodeFromBytes(SECRET, key).toUpperCase();
}

/** @throws ConfigError ERR_KEY_BAD_RECIPIENT */
export function parsePublicKey(text: string): Buffer {
  return parse(
    text.trim(),
    PUBLIC,
    'ERR_KEY_BAD_RECIPIENT',
    'This is not a recipient. One looks like dbs1… and is printed by `dbs keys new`.',
  );
}

/** One secret key a line; empty lines and lines that begin with # do not count. @throws ConfigError ERR_KEY_BAD_IDENTITY */
export function parseIdentities(text: string): Buffer[] {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const keys = lines
    .filter((line) => line && !line.startsWith('#'))
    .map((line) =>
      parse(line, SECRET, 'ERR_KEY_BAD_IDENTITY', 'The identity file holds a line that is no DBS-SECRET-KEY-1….'),
    );
  if (keys.length > 0) return keys;
  throw new ConfigError('ERR_KEY_BAD_IDENTITY', 'The identity file holds no secret key. `dbs keys new` makes one.');
}

function parse(text: string, prefix: string, code: string, message: string): Buffer {
  try {
    const decoded = bech32.decodeToBytes(text);
    if (decoded.prefix === prefix && decoded.bytes.length === 32) return Buffer.from(decoded.bytes);
  } catch {
    // Whatever is wrong with it, the text itself must not be repeated: it may be a secret.
  }
  throw new ConfigError(code, message);
}
