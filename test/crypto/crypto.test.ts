/** Cryptography against the vectors of its standards, and against SPEC.md written out by hand. */
import { createCipheriv, createHash, createHmac } from 'node:crypto';
import t from 'tap';
import { aeadKey, openSegment, sealSegment, unwrapKey, wrapKey } from '../../lib/crypto/aead.ts';
import { blockHash, chainHash, fileIdOf, H, hkdf, hmac, RunningHash } from '../../lib/crypto/hash.ts';
import { deriveKey } from '../../lib/crypto/kdf.ts';
import {
  generateX25519,
  passphraseSlotKeys,
  recipientSlotKeys,
  sameBytes,
  unwrapDataKey,
  wrapDataKey,
  x25519,
  x25519Public,
} from '../../lib/crypto/key-wrap.ts';
import { Random } from '../../lib/testkit/index.ts';

const random = new Random('crypto');
const hex = (text: string) => Buffer.from(text, 'hex');

t.test('H is the first half of BLAKE2b-512', async (t) => {
  // RFC 7693, appendix A.
  t.equal(H(Buffer.from('abc')).toString('hex'), 'ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1');
  t.equal(H().toString('hex'), '786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419');
  t.same(H(Buffer.from('a'), Buffer.from('bc')), H(Buffer.from('abc')));
  t.equal(
    new RunningHash().update(Buffer.from('ab')).update(Buffer.from('c')).hex(),
    H(Buffer.from('abc')).toString('hex'),
  );
  const half = (...parts: (string | Buffer)[]) => {
    const hash = createHash('blake2b512');
    for (const part of parts) hash.update(part as Buffer);
    return hash.digest().subarray(0, 32);
  };
  const core = random.bytes(96);
  const id = random.bytes(32);
  const payload = random.bytes(1000);
  t.same(fileIdOf(core), half('DBS2 file\0', core));
  t.same(chainHash(id, core.subarray(0, 32)), half('DBS2 chain\0', id, core.subarray(0, 32)));
  t.same(
    blockHash(id, 2, 258, 1, payload),
    half('DBS2 block\0', id, hex('02'), hex('0000000000000102'), hex('01'), hex('000003e8'), payload),
  );
});

t.test('HKDF and HMAC', async (t) => {
  const [ikm, salt] = [random.bytes(32), random.bytes(32)];
  const prk = createHmac('sha512', salt).update(ikm).digest();
  const okm = createHmac('sha512', prk).update('DBS2 commit').update(hex('01')).digest();
  t.same(hkdf(ikm, salt, 'DBS2 commit'), okm.subarray(0, 32), 'RFC 5869, written out');
  t.same(hmac(ikm, salt), createHmac('sha512', ikm).update(salt).digest().subarray(0, 32));
  // RFC 4231, test case 2.
  t.equal(
    hmac(Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?')).toString('hex'),
    '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554',
  );
});

t.test('Argon2id', async (t) => {
  // From the tests of the reference implementation (phc-winner-argon2, version 0x13).
  const known: [number, number, number, string, string, string][] = [
    [2, 256, 1, 'password', 'somesalt', '9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe'],
    [2, 256, 2, 'password', 'somesalt', '6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037'],
    [2, 65_536, 1, 'differentpassword', 'somesalt', '0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde'],
  ];
  for (const [iterations, memoryKiB, parallelism, passphrase, salt, result] of known) {
    const key = await deriveKey(passphrase, Buffer.from(salt), { iterations, memoryKiB, parallelism });
    t.equal(key.toString('hex'), result, `t=${iterations} m=${memoryKiB} p=${parallelism}`);
  }
  const kdf = { iterations: 1, memoryKiB: 8192, parallelism: 1 };
  const salt = Buffer.alloc(16, 1);
  t.same(await deriveKey('A\u030a', salt, kdf), await deriveKey('\u00c5', salt, kdf), 'NFC');
  t.notSame(await deriveKey('a', salt, kdf), await deriveKey('A', salt, kdf));
  await t.rejects(deriveKey('', salt, kdf), { code: 'ERR_KEY_EMPTY_PASSPHRASE' });
});

t.test('X25519', async (t) => {
  // RFC 7748, section 6.1.
  const publicA = hex('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
  const secretB = hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
  const publicB = hex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  t.same(x25519Public(secretB), publicB);
  t.equal(
    x25519(secretB, publicA)?.toString('hex'),
    '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
  );
  const pair = generateX25519();
  t.same(x25519(pair.secret, publicB), x25519(secretB, pair.public), 'both sides agree');
  t.same(x25519Public(pair.secret), pair.public);
  // Points of low order: whatever the secret, the shared secret would be zero.
  const low = [
    Buffer.alloc(32),
    hex(`01${'00'.repeat(31)}`),
    hex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
    hex('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
  ];
  for (const point of low) t.equal(x25519(secretB, point), null, 'refused');
  t.equal(x25519(secretB, Buffer.alloc(31)), null, 'no key at all');
});

t.test('segments and wrapped keys', async (t) => {
  const raw = random.bytes(32);
  const key = aeadKey(raw);
  const id = random.bytes(32);
  for (const [index, final, length] of [
    [0, false, 978_928],
    [5, true, 17],
    [2 ** 32 + 1, true, 200_000],
    [1, false, 0],
  ] as const) {
    const plain = random.bytes(length);
    const out = Buffer.alloc(length + 16);
    sealSegment(key, id, index, final, plain, out);
    const nonce = Buffer.alloc(12);
    nonce.writeBigUInt64BE(BigInt(index), 3);
    nonce[11] = Number(final);
    const cipher = createCipheriv('aes-256-gcm', raw, nonce).setAAD(id);
    const expected = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    t.ok(out.equals(expected), `segment ${index}, final ${final}: SPEC section 7 written out`);
    const inPlace = Buffer.concat([plain, Buffer.alloc(16)]);
    sealSegment(key, id, index, final, inPlace.subarray(0, length), inPlace);
    t.ok(inPlace.equals(expected), 'in place');
    const back = Buffer.alloc(length, 1);
    t.ok(openSegment(key, id, index, final, out, back) && back.equals(plain));
    for (const wrong of [
      () => openSegment(key, id, index + 1, final, out, back),
      () => openSegment(key, id, index, !final, out, back),
      () => openSegment(key, raw, index, final, out, back),
    ]) {
      back.fill(1);
      t.notOk(wrong(), 'another place');
      t.ok(
        back.every((byte) => byte === 0),
        'and nothing is left in the output',
      );
    }
    out[random.below(out.length)]! ^= 1;
    t.notOk(openSegment(key, id, index, final, out, back), 'a bit changed');
  }
  const dataKey = random.bytes(32);
  const wrapped = wrapKey(raw, id, dataKey);
  t.equal(wrapped.length, 48);
  t.same(unwrapKey(raw, id, wrapped), dataKey);
  t.equal(unwrapKey(raw, dataKey, wrapped), null);
  const salt = random.bytes(32);
  for (const keys of [passphraseSlotKeys(raw, id), recipientSlotKeys(raw, id, salt, dataKey)]) {
    t.notSame(keys.commitment, keys.wrapKey);
    const slot = wrapDataKey(keys, id, Buffer.from('head'), dataKey);
    t.same(unwrapDataKey(keys, id, Buffer.from('head'), slot), dataKey);
    t.equal(unwrapDataKey(keys, id, Buffer.from('heal'), slot), null, "the slot's head is covered");
    t.equal(unwrapDataKey(keys, salt, Buffer.from('head'), slot), null, 'the fileID is covered');
  }
  t.same(
    recipientSlotKeys(raw, id, salt, dataKey).commitment,
    hkdf(raw, Buffer.concat([id, salt, dataKey]), 'DBS2 recipient commit'),
  );
  t.same(passphraseSlotKeys(raw, id).wrapKey, hkdf(raw, id, 'DBS2 slot wrap'));
  t.ok(sameBytes(raw, Buffer.from(raw)));
  t.notOk(sameBytes(raw, raw.subarray(1)));
});
