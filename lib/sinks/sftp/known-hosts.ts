/**
 * OpenSSH's known_hosts: which keys a host may show. Pure: text in, verdict out. The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT";
 * the tests hold it against `ssh-keygen -F` and `-H`.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** A public key as it goes over the wire. */
export interface HostKey {
  /** Such as `ssh-ed25519`. */
  type: string;
  blob: Buffer;
}

export interface KnownHost extends HostKey {
  /** From 1. */
  line: number;
  marker?: 'revoked' | 'cert-authority';
}

export type Verdict =
  | { status: 'trusted' }
  /** @revoked */
  | { status: 'revoked'; line: number }
  /** The host is known by other keys. */
  | { status: 'changed'; known: KnownHost[] }
  /** `authority`: all that is known is a @cert-authority, which is not supported. */
  | { status: 'unknown'; authority: boolean };

/** What OpenSSH calls a host on this port. */
export function hostToken(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

/** `SHA256:...`, as ssh-keygen prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The key's own name of its type. @returns null for what is no key */
export function typeOfKey(blob: Buffer): string | null {
  if (blob.length < 4) return null;
  const length = blob.readUInt32BE(0);
  if (length === 0 || length > 64 || blob.length <= 4 + length) return null;
  return blob.toString('latin1', 4, 4 + length);
}

/** Reads `TYPE BASE64 ...`. @returns null where that is not a key */
export function parseKey(text: string): HostKey | null {
  const [type, base64] = text.trim().split(/[ \t]+/, 2);
  if (!type || !base64 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  const blob = Buffer.from(base64, 'base64');
  return typeOfKey(blob) === type ? { type, blob } : null;
}

/** The lines of a known_hosts file that speak of this name (`hostToken`). Lines that cannot be read are passed over, as OpenSSH does. */
export function linesFor(text: string, token: string): KnownHost[] {
  const found: KnownHost[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = /^[ \t]*(?!#)(?:@([^ \t]+)[ \t]+)?([^ \t@][^ \t]*)[ \t]+(.*)$/.exec(raw.replace(/\r$/, ''));
    if (!line) continue;
    const [, marker, hosts, rest] = line;
    if (marker !== undefined && marker !== 'revoked' && marker !== 'cert-authority') continue;
    if (!matchesHosts(hosts!, token)) continue;
    const key = parseKey(rest!);
    if (key) found.push({ ...key, line: index + 1, ...(marker ? { marker } : {}) });
  }
  return found;
}

function matchesHosts(hosts: string, token: string): boolean {
  if (hosts.startsWith('|')) return matchesHash(hosts, token);
  let matched = false;
  for (const pattern of hosts.toLowerCase().split(',')) {
    // A negated match excludes the host, whatever else matches.
    if (pattern.startsWith('!')) {
      if (glob(pattern.slice(1), token)) return false;
    } else if (glob(pattern, token)) matched = true;
  }
  return matched;
}

/** `|1|SALT|HMAC-SHA1(SALT, NAME)`, both in base64. */
function matchesHash(entry: string, token: string): boolean {
  const parts = /^\|1\|([A-Za-z0-9+/]+=*)\|([A-Za-z0-9+/]+=*)$/.exec(entry);
  if (!parts) return false;
  const [salt, hash] = [Buffer.from(parts[1]!, 'base64'), Buffer.from(parts[2]!, 'base64')];
  if (salt.length !== 20 || hash.length !== 20) return false;
  return timingSafeEqual(createHmac('sha1', salt).update(token).digest(), hash);
}

/** `*` for anything, `?` for one character. Linear in both, whatever the pattern. */
function glob(pattern: string, text: string): boolean {
  let [at, p, star, mark] = [0, 0, -1, 0];
  while (at < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      mark = at;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[at])) {
      p++;
      at++;
    } else if (star >= 0) {
      p = star + 1;
      at = ++mark;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/**
 * Whether a server may be trusted that shows `key`.
 * @param text of the known_hosts file
 */
export function judge(text: string, host: string, port: number, key: Buffer): Verdict {
  const lines = linesFor(text, hostToken(host, port));
  // As OpenSSH does: a key that is known for the host itself is good on any of its ports.
  const plain = port === 22 ? [] : linesFor(text, hostToken(host, 22));
  const isShown = ({ blob }: KnownHost) => blob.equals(key);
  const revoked = [...lines, ...plain].find((line) => line.marker === 'revoked' && isShown(line));
  if (revoked) return { status: 'revoked', line: revoked.line };
  const [own, others] = [lines, plain].map((some) => some.filter(({ marker }) => !marker));
  if ([...own!, ...(own!.length ? [] : others!)].some(isShown)) return { status: 'trusted' };
  if (own!.length) return { status: 'changed', known: own! };
  return { status: 'unknown', authority: lines.some(({ marker }) => marker === 'cert-authority') };
}

/** The types of key by which the host is known: what to ask it for first. */
export function knownTypes(text: string, host: string, port: number): string[] {
  const own = linesFor(text, hostToken(host, port)).filter(({ marker }) => !marker);
  const lines = own.length || port === 22 ? own : linesFor(text, hostToken(host, 22)).filter(({ marker }) => !marker);
  return [...new Set(lines.map(({ type }) => type))];
}
