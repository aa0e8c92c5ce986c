/**
 * Writes the vectors: `node --import=tsx test/vectors/make.ts`. They were made once and are kept as they are: a reader of any later version must still make
 * the same of them. Run it again only to add some; keys, salts and content come from names, so that the others stay the same.
 */
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { deflateRawSync } from 'node:zlib';
import { type FileKeys, signHeader } from '../../lib/container/keys.ts';
import { aeadKey } from '../../lib/crypto/aead.ts';
import { fileIdOf, H, hkdf } from '../../lib/crypto/hash.ts';
import { deriveKey } from '../../lib/crypto/kdf.ts';
import { passphraseSlotKeys, recipientSlotKeys, wrapDataKey, x25519, x25519Public } from '../../lib/crypto/key-wrap.ts';
import { FrameType } from '../../lib/format/frame.ts';
import { writeCore, writeHeaderUnsigned } from '../../lib/format/header.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { closeSlot, passphraseSlotHead, recipientSlotHead } from '../../lib/format/key-slot.ts';
import { order, recordLength } from '../../lib/format/layout.ts';
import { type LayoutName, RecordType } from '../../lib/format/limits.ts';
import { MemorySink } from '../../lib/sinks/memory.ts';
import { Blocker } from '../../lib/stages/blocker.ts';
import { DualCopyInterleaver } from '../../lib/stages/dual-copy-interleaver.ts';
import { Encryptor } from '../../lib/stages/encryptor.ts';
import { RSEncoder } from '../../lib/stages/rs-encoder.ts';
import { Serializer } from '../../lib/stages/serializer.ts';
import { corrupt, Random } from '../../lib/testkit/index.ts';
import { forgeBody, forgePage, forgePayload, resealPage } from '../container/forge.ts';
import type { Placed } from '../container/support.ts';
import { writeFrame } from '../format/frames.ts';
import { type VectorHead, writeVector } from './vector.ts';

const KDF = { iterations: 1, memoryKiB: 8192, parallelism: 1 };
const IDENTITY = new Random('the identity of the vectors').bytes(32);
const STRANGER = new Random('a stranger').bytes(32);
const TEXT = Buffer.from('Whoever can read this has restored a backup. äöü €\n'.repeat(120));

interface Slots {
  passphrases?: string[];
  recipients?: Buffer[];
}

interface Made {
  file: Buffer;
  keys: FileKeys & { dataKey: Buffer; fileSalt: Buffer; coreBytes: Buffer };
  records: Placed[];
  content: string;
}

async function slotsOf(
  name: string,
  fileId: Buffer,
  dataKey: Buffer,
  { passphrases = [], recipients = [] }: Slots,
): Promise<Buffer[]> {
  const random = new Random(`slots ${name}`);
  const slots: Buffer[] = [];
  for (const passphrase of passphrases) {
    const salt = random.bytes(16);
    const keys = passphraseSlotKeys(await deriveKey(passphrase, salt, KDF), fileId);
    const head = Buffer.concat([passphraseSlotHead(KDF, salt), keys.commitment]);
    slots.push(closeSlot(head, wrapDataKey(keys, fileId, head, dataKey)));
  }
  for (const recipient of recipients) {
    const secret = random.bytes(32);
    const keys = recipientSlotKeys(x25519(secret, recipient)!, fileId, x25519Public(secret), recipient);
    const head = Buffer.concat([recipientSlotHead(x25519Public(secret)), keys.commitment]);
    slots.push(closeSlot(head, wrapDataKey(keys, fileId, head, dataKey)));
  }
  return slots;
}

async function keysOf(name: string, layout: LayoutName, who: Slots): Promise<Made['keys']> {
  const random = new Random(`keys ${name}`);
  const [dataKey, fileSalt] = [random.bytes(32), random.bytes(32)];
  const coreBytes = writeCore({ layout, fileSalt, commitment: hkdf(dataKey, fileSalt, 'DBS2 commit') });
  const fileId = fileIdOf(coreBytes);
  const unsigned = writeHeaderUnsigned(coreBytes, 1, await slotsOf(name, fileId, dataKey, who));
  return {
    dataKey,
    fileSalt,
    coreBytes,
    fileId,
    layout,
    payloadKey: aeadKey(hkdf(dataKey, fileSalt, 'DBS2 payload')),
    headerBytes: signHeader(unsigned, dataKey, fileSalt),
  };
}

async function seal(keys: Made['keys'], stream: Buffer, copy: 0 | 1 = 0): Promise<{ file: Buffer; records: Placed[] }> {
  const { fileId, payloadKey: key, headerBytes, layout } = keys;
  const writer = new MemorySink();
  const sink = await writer.create();
  const interleaver = new DualCopyInterleaver({ fileId, headerBytes, layout, copy, readBack: sink.readBack! });
  const stages = [new Encryptor({ key, fileId }), new Blocker({ fileId }), new RSEncoder({ fileId }), interleaver];
  await pipeline([Readable.from([stream]), ...stages, sink.stream]);
  await sink.finish();
  const records: Placed[] = [];
  let at = 0;
  for (const slot of order(layout, interleaver.facts.blocks, copy)) {
    const length = recordLength(slot, interleaver.facts.blocks, interleaver.facts.lastLength);
    records.push({ ...slot, at, length });
    at += length;
  }
  return { file: writer.bytes!, records };
}

async function streamOf(
  items: BackupItem[],
  compression: 'none' | 'deflate',
): Promise<{ stream: Buffer; content: string }> {
  const parts: Buffer[] = [];
  for await (const part of Readable.from(items).pipe(new Serializer({ compression }))) parts.push(part as Buffer);
  const data = items.flatMap((i) => ('data' in i ? [i.data] : []));
  return { stream: Buffer.concat(parts), content: H(...data).toString('hex') };
}

function text(data: Buffer): BackupItem[] {
  return [
    { type: 'schema', schema: { kind: 'stream', created: '2020-01-01T00:00:00.000Z', tool: 'vectors', tables: [] } },
    { type: 'file-begin', stream: 1, file: { kind: 'stream', root: '', path: '' } },
    ...(data.length > 0 ? [{ type: 'file-data', stream: 1, data } as BackupItem] : []),
    { type: 'file-end', stream: 1, size: data.length },
    { type: 'end', rows: 0, files: 1, bytes: data.length, skipped: [] },
  ];
}

function database(): BackupItem[] {
  const rows = Buffer.from('[1,"Ä",null]\n[{"i":"9007199254740993"},{"b":"AAE="},{"r":"-0"}]\n');
  const columns = ['id', 'name', 'more'].map((name) => ({ name, type: 'any', nullable: true }));
  const table = {
    stream: 1,
    table: 'book',
    entities: ['Book'],
    encoding: 'sqlite-typed' as const,
    columns,
    primaryKey: ['id'],
    foreignKeys: [],
  };
  return [
    {
      type: 'schema',
      schema: {
        kind: 'database',
        created: '2020-01-01T00:00:00.000Z',
        tool: 'vectors',
        dialect: 'sqlite',
        tables: [table],
      },
    },
    { type: 'rows', stream: 1, count: 2, data: rows },
    { type: 'entity-end', stream: 1, rows: 2 },
    { type: 'skipped', skipped: { kind: 'path', root: '', path: 'gone.txt', reason: 'It is not there.' } },
    {
      type: 'file-begin',
      stream: 2,
      file: { kind: 'root', root: 'media', path: 'a/b.txt', size: TEXT.length, mode: 420 },
    },
    { type: 'file-data', stream: 2, data: TEXT },
    { type: 'file-end', stream: 2, size: TEXT.length },
    {
      type: 'end',
      rows: 2,
      files: 1,
      bytes: TEXT.length,
      skipped: [{ kind: 'path', root: '', path: 'gone.txt', reason: 'It is not there.' }],
    },
  ];
}

const OWN: Slots = { recipients: [x25519Public(IDENTITY)] };

async function make(
  name: string,
  options: {
    layout?: LayoutName;
    who?: Slots;
    items?: BackupItem[];
    copy?: 0 | 1;
    compression?: 'none' | 'deflate';
  } = {},
): Promise<Made> {
  const keys = await keysOf(name, options.layout ?? 'tandem', options.who ?? OWN);
  const { stream, content } = await streamOf(options.items ?? text(TEXT), options.compression ?? 'none');
  return { keys, content, ...(await seal(keys, stream, options.copy)) };
}

type Rest = Partial<VectorHead> & Pick<VectorHead, 'what' | 'expect'>;

function keep(name: string, container: Buffer, { content, ...rest }: Rest): void {
  const withKey =
    rest.passphrase === undefined && rest.identity === undefined ? { identity: IDENTITY.toString('hex') } : {};
  const comesOut = rest.expect === 'success' || rest.expect === 'healed';
  writeVector(
    { name, ...rest, ...withKey, ...(comesOut && content ? { content } : {}), size: container.length },
    container,
  );
}

for (const name of readdirSync(import.meta.dirname)) {
  if (name.endsWith('.vector')) unlinkSync(join(import.meta.dirname, name));
}

// --- success

const plain = await make('plain');
const { content } = plain;
keep('success-tandem', plain.file, { what: 'One block, layout tandem.', expect: 'success', content });
for (const layout of ['interleaved', 'split'] as const) {
  const made = await make(layout, { layout });
  keep(`success-${layout}`, made.file, {
    what: `One block, layout ${layout}${layout === 'split' ? ', the first file alone' : ''}.`,
    expect: 'success',
    content,
  });
}
const mirror = await make('split', { layout: 'split', copy: 1 });
keep('success-split-mirror', mirror.file, {
  what: 'Layout split, the second file alone: copy B in every record.',
  expect: 'success',
  content,
});
const empty = await make('empty', { items: text(Buffer.alloc(0)) });
keep('success-empty', empty.file, { what: 'A stream of no bytes.', expect: 'success', content: empty.content });
const tables = await make('database', { items: database(), compression: 'deflate' });
keep('success-database', tables.file, {
  what: 'A database of one table and one file, frames compressed with deflate, one source skipped.',
  expect: 'success',
  content: tables.content,
});
const locked = await make('passphrase', { who: { passphrases: ['correct horse'] } });
keep('success-passphrase', locked.file, {
  what: 'A passphrase slot.',
  expect: 'success',
  passphrase: 'correct horse',
  content,
});
const many = await make('many', {
  who: {
    passphrases: ['first', 'Zwo\u0308lf Boxka\u0308mpfer'],
    recipients: [x25519Public(STRANGER), x25519Public(IDENTITY)],
  },
});
keep('success-second-passphrase', many.file, {
  what: 'Two passphrases and two recipients; opened by the second, given in NFC, sealed with it in NFD.',
  expect: 'success',
  passphrase: 'Zw\u00f6lf Boxk\u00e4mpfer',
  content,
});
keep('success-second-recipient', many.file, {
  what: 'Two passphrases and two recipients; opened by the second recipient.',
  expect: 'success',
  content,
});

async function withSlots(name: string, change: (slots: Buffer[]) => Buffer[]): Promise<Buffer> {
  const keys = await keysOf(name, 'tandem', OWN);
  const slots = change(await slotsOf(name, keys.fileId, keys.dataKey, OWN));
  keys.headerBytes = signHeader(writeHeaderUnsigned(keys.coreBytes, 1, slots), keys.dataKey, keys.fileSalt);
  return (await seal(keys, (await streamOf(text(TEXT), 'none')).stream)).file;
}

keep('success-unknown-slot', await withSlots('unknown slot', (slots) => [Buffer.alloc(120, 200), ...slots]), {
  what: 'A slot of an unknown kind stands before the right one.',
  expect: 'success',
  content,
});

const minor = Buffer.from(plain.file);
for (const r of plain.records) {
  const page = minor.subarray(r.at, r.at + 4096);
  page[9] = 7;
  page.fill(0xaa, 84, 88);
  resealPage(page);
}
keep('success-minor-version', minor, {
  what: 'Minor version 7, and values in a reserved field.',
  expect: 'success',
  content,
});

/** A stream of hand-made frames, sealed. */
async function sealedFrames(
  name: string,
  frames: { type: number; codec?: number; stream?: number; rawLength?: number; ordinal?: number; body?: unknown }[],
): Promise<Buffer> {
  const bytes = frames.map(({ type, codec = 0, stream = 0, rawLength, ordinal, body = {} }, i) => {
    const raw = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    return writeFrame(
      { type, codec, flags: 0, stream, rawLength: rawLength ?? raw.length, ordinal: ordinal ?? i },
      raw,
    );
  });
  return (await seal(await keysOf(name, 'tandem', OWN), Buffer.concat(bytes))).file;
}

const F = FrameType;
const schema = { type: F.SCHEMA, body: { kind: 'stream', created: '', tool: '', tables: [] } };
const begin = { type: F.FILE_BEGIN, stream: 1, body: { kind: 'stream', root: '', path: '' } };
const data = { type: F.FILE_DATA, stream: 1, body: Buffer.from('x') };
const fileEnd = { type: F.FILE_END, stream: 1, body: { size: 1, hash: H(Buffer.from('x')).toString('hex') } };
const end = (frames: number) => ({ type: F.END, body: { rows: 0, files: 1, bytes: 1, skipped: 0, frames, toc: null } });
const one = H(Buffer.from('x')).toString('hex');
keep(
  'success-unknown-frame',
  await sealedFrames('unknown frame', [schema, begin, { type: 200, body: [1, 2] }, data, fileEnd, end(5)]),
  { what: 'A frame of an unknown type that may be skipped.', expect: 'success', content: one },
);

const place = (made: Made, type: RecordType, copy: 0 | 1): Placed =>
  made.records.find((r) => r.type === type && r.copy === copy)!;
const { HEADER, DATA, END } = RecordType;

// --- healed

const healed = (name: string, file: Buffer, what: string) =>
  keep(`healed-${name}`, file, { what, expect: 'healed', content });
const spoilt = (damage: string, from: Made = plain) => corrupt(from.file, damage, { seed: damage }).bytes;
const woven = await make('woven', { layout: 'interleaved' });
healed('flips', spoilt('flip:2e-3'), 'Two bytes in a thousand are wrong.');
healed('many-flips', spoilt('flip:0.015', woven), 'One byte and a half in a hundred is wrong: no row is whole.');
healed('sectors', spoilt('sectors:512:0.2'), 'One in five sectors of 512 bytes is lost.');
healed('first-16-kib', spoilt('zero:16KiB@head'), 'The first 16 KiB are zeros.');
healed('tail-cut', spoilt('cut-tail:45%'), 'The last 45 % are missing.');
healed('head-cut', spoilt('cut-head:45%'), 'The first 45 % are missing.');
healed('inserted', spoilt('insert:3@15000'), 'Three bytes were inserted in copy A.');
healed('deleted', spoilt('delete:700@15000', woven), '700 bytes are missing from copy A.');
healed(
  'foreign',
  corrupt(plain.file, 'insert:1000@head,insert:999@tail', { seed: 1 }).bytes,
  'Foreign bytes before and behind.',
);
healed(
  'backwards',
  Buffer.concat([...plain.records].reverse().map((r) => plain.file.subarray(r.at, r.at + r.length))),
  'Its records in reverse order.',
);
healed(
  'one-header',
  Buffer.concat(
    [place(plain, HEADER, 0), place(plain, DATA, 1)].map((r) => plain.file.subarray(r.at, r.at + r.length)),
  ),
  'Nothing but one HEADER and copy B.',
);
const pages = Buffer.from(plain.file);
for (const r of plain.records) for (let i = 0; i < 800; i++) pages[r.at + i * 5]! ^= 0x55;
healed('pages', pages, '800 bytes of every page are wrong, its magic too.');
const bothCopies = (made: Made, rows: number[]) => {
  const file = Buffer.from(made.file);
  for (const copy of [0, 1] as const) {
    const { at } = place(made, DATA, copy);
    for (const r of rows)
      new Random(`${copy} ${r}`).fill(file.subarray(at + 4096 + 512 * r, at + 4096 + 512 * (r + 1)));
  }
  return file;
};
healed(
  '16-rows',
  bothCopies(
    plain,
    Array.from({ length: 16 }, (_, r) => r),
  ),
  'The same 16 rows are lost in both copies.',
);
const slot = Buffer.from(plain.file);
forgePayload(slot, place(plain, DATA, 0), (payload) => void (payload[100]! ^= 1));
healed('forged-copy', slot, 'Copy A was forged, with fitting checksums; copy B is whole.');
const generations = Buffer.from(locked.file);
const moved = signHeader(
  writeHeaderUnsigned(
    locked.keys.coreBytes,
    2,
    await slotsOf('moved', locked.keys.fileId, locked.keys.dataKey, { passphrases: ['new'] }),
  ),
  locked.keys.dataKey,
  locked.keys.fileSalt,
);
forgeBody(generations, place(locked, HEADER, 0), () => moved);
keep('success-generations', generations, {
  what: 'A change of keys was cut short: HEADER has generation 2, END still 1.',
  expect: 'success',
  passphrase: 'new',
  content,
});

// --- refused

const refused = (name: string, file: Buffer, rest: Rest) => keep(name, file, rest);
refused('wrong-key-passphrase', locked.file, {
  what: 'Another passphrase.',
  expect: 'wrong-key',
  code: 'ERR_KEY_WRONG_PASSPHRASE',
  passphrase: 'Correct horse',
});
refused('wrong-key-identity', plain.file, {
  what: 'The identity of somebody else.',
  expect: 'wrong-key',
  code: 'ERR_KEY_NO_MATCH',
  identity: STRANGER.toString('hex'),
});
refused('wrong-key-kind', plain.file, {
  what: 'A passphrase, where there are recipients only.',
  expect: 'wrong-key',
  code: 'ERR_KEY_NO_MATCH',
  passphrase: 'x',
});

const tampered = (
  name: string,
  file: Buffer,
  what: string,
  code = 'ERR_TAMPER_BLOCK',
  rest: Partial<VectorHead> = {},
) => refused(`tampered-${name}`, file, { what, expect: 'tampered', code, ...rest });
const forged = Buffer.from(plain.file);
for (const copy of [0, 1] as const)
  forgePayload(forged, place(plain, DATA, copy), (payload) => void (payload[100]! ^= 1));
tampered('both-copies', forged, 'Both copies were forged, with fitting checksums.');
const swapped = Buffer.from(plain.file);
const donor = await make('donor');
for (const copy of [0, 1] as const) {
  const at = place(donor, DATA, copy).at + 4096;
  forgePayload(
    swapped,
    place(plain, DATA, copy),
    (payload) => void donor.file.copy(payload, 0, at, at + payload.length),
  );
}
tampered('other-file', swapped, "Another file's block under this one's keys.");
const tables2 = (made: Made, change: (header: Buffer) => void) => {
  const file = Buffer.from(made.file);
  for (const r of made.records.filter((r) => r.type === HEADER || r.type === END)) {
    forgeBody(file, r, (body) => {
      change(body.subarray(body.length - made.keys.headerBytes.length));
      return body;
    });
  }
  return file;
};
tampered(
  'mac',
  tables2(plain, (h) => void (h[h.length - 1]! ^= 1)),
  'The MAC of every HEADER does not fit.',
  'ERR_TAMPER_HEADER',
);
tampered(
  'slot',
  tables2(plain, (h) => void (h[180]! ^= 1)),
  'The commitment of the slot fits and its wrapped key does not.',
  'ERR_TAMPER_HEADER',
);
tampered(
  'kdf',
  tables2(locked, (h) => void h.writeUInt32BE(0xffffffff, 112)),
  'The slot asks for 4 TiB of Argon2id memory.',
  'ERR_TAMPER_HEADER',
  { passphrase: 'correct horse' },
);

const truncated = (name: string, file: Buffer, what: string, code = 'ERR_TRUNCATED') =>
  refused(`truncated-${name}`, file, { what, expect: 'truncated', code });
truncated('header', plain.file.subarray(0, 4096), 'Cut behind the HEADER.');
truncated('block', plain.file.subarray(0, 6000), 'Cut in the first page of the only block.');
truncated(
  'stream',
  await sealedFrames('short stream', [schema, begin, data]),
  'Authentic, and the stream in it has no END.',
  'ERR_TRUNCATED_STREAM',
);
const unfinished = Buffer.from(plain.file);
for (const copy of [0, 1] as const) {
  forgePage(unfinished, place(plain, DATA, copy), (page) => void (page[72] = 0));
  forgePayload(unfinished, place(plain, DATA, copy), () => {});
}
tampered('not-final', unfinished, 'The last block is said not to be FINAL.');

const damaged = (name: string, file: Buffer, what: string, code = 'ERR_DAMAGE_BLOCKS') =>
  refused(`damaged-${name}`, file, { what, expect: 'damaged', code });
damaged(
  'rows',
  bothCopies(
    plain,
    Array.from({ length: 20 }, (_, r) => r),
  ),
  '20 rows are lost in both copies.',
);
damaged('noise', spoilt('overwrite:75%@4096'), 'Most of it is noise.');
const keyless = Buffer.from(plain.file);
for (const r of plain.records.filter((r) => r.type === HEADER || r.type === END))
  new Random(r.at).fill(keyless.subarray(r.at, r.at + r.length));
damaged('no-header', keyless, 'Every HEADER and END is lost.', 'ERR_DAMAGE_NO_HEADER');

const format = (name: string, file: Buffer, what: string, code = 'ERR_FORMAT_NOT_DBS') =>
  refused(`format-${name}`, file, { what, expect: 'format', code });
format('empty', Buffer.alloc(0), 'No byte.');
format('zeros', Buffer.alloc(20_000), 'Zeros.');
format('text', Buffer.from('-- SQL\n'.repeat(3000)), 'Text.');
format('several', Buffer.concat([plain.file, donor.file]), 'Two backups, one behind the other.', 'ERR_FORMAT_SEVERAL');
format(
  'bomb',
  await sealedFrames('bomb', [
    schema,
    begin,
    { ...data, codec: 1, rawLength: 1000, body: deflateRawSync(Buffer.alloc(1 << 20)) },
  ]),
  'Authentic, and a frame inflates to more than it says.',
  'ERR_STREAM_FRAME',
);
format(
  'frame-type',
  await sealedFrames('frame type', [schema, { type: 99 }]),
  'Authentic, and a frame is of an unknown type that may not be skipped.',
  'ERR_STREAM_FRAME',
);
format(
  'order',
  await sealedFrames('order', [schema, begin, { ...data, ordinal: 3 }]),
  'Authentic, and a frame is missing.',
  'ERR_STREAM_ORDER',
);
format(
  'hash',
  await sealedFrames('hash', [schema, begin, data, { ...fileEnd, body: { size: 1, hash: '00' } }]),
  "Authentic, and a file's hash does not fit.",
  'ERR_STREAM_HASH',
);

const newer = Buffer.from(plain.file);
for (const r of plain.records) forgePage(newer, r, (page) => void (page[8] = 2));
refused('newer-version', newer, { what: 'Major version 2.', expect: 'newer-version', code: 'ERR_FORMAT_NEWER' });
