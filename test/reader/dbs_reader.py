#!/usr/bin/env python3
"""A reader of the .dbs container, written from SPEC.md alone ("section n" below means that text).

Python >= 3.9 and its standard library; AES-GCM comes from the system's OpenSSL 3 through ctypes. It takes whole and
damaged files, with passphrases (not with the keys of recipients). It favours plainness over speed: Argon2id with the
writer's default parameters takes minutes here.

    dbs_reader.py FILE [FILE2] --passphrase-file PATH --output OUT     the bytes of a sealed stream
    dbs_reader.py FILE [FILE2] --passphrase-file PATH --dump DIR       a database backup: schema.json, tables, files

FILE2 is the second file of the split layout. Everything is written as `*.part` first and gets its name when all of it
was verified. Exit codes: 0 read, 4 healed, 6 beyond repair, 12 wrong passphrase, 2 usage. (0 does not mean that
the file is whole: what was not needed was not verified.)
"""
import argparse, ctypes, ctypes.util, functools, hashlib, hmac, itertools, json, mmap, os, re, struct, sys, unicodedata
import zlib
from collections import Counter, defaultdict, namedtuple
from urllib.parse import quote

HEADER, DATA, PARITY, INDEX, END = 1, 2, 3, 4, 5
MAGIC, PAGE, FULL, GROUP, BODY = bytes.fromhex('89444253320d0a1a'), 4096, 978944, 128, 2156


class Refused(Exception):
    """Nothing (more) can be read; `code` is the exit code."""
    def __init__(self, message, code=6):
        super().__init__(message)
        self.code = code


def ceil(a, b):
    return -(-a // b)


# --- Section 2: GF(2^8) and Reed-Solomon. Bulk work is bytes.translate (times a constant) and XOR of big integers.

EXP, LOG = [0] * 510, [0] * 256
x = 1
for n in range(255):
    EXP[n] = EXP[n + 255] = x
    LOG[x] = n
    x = x << 1 ^ (0x11D if x & 128 else 0)


def mul(a, b):
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def inv(a):
    return EXP[255 - LOG[a]]


TIMES = [bytes(mul(a, b) for b in range(256)) for a in range(256)]
# INVERSE_POWER[n][x] = X^-n, where X = x xor 255 is the locator of position x: never zero, as x = 255 is never used.
INVERSE_POWER = [bytes(EXP[-n * LOG[x ^ 255] % 255] for x in range(255)) for n in range(113)]


def combine(terms):
    """The sum of coefficient * row, as an integer."""
    total = 0
    for coefficient, row in terms:
        if coefficient:
            total ^= int.from_bytes(row.translate(TIMES[coefficient]), 'big')
    return total


@functools.lru_cache(None)
def weight(m, j, i):
    """The factor of data symbol i in parity symbol j."""
    return functools.reduce(mul, [mul((m + i) ^ n, inv(j ^ n)) for n in range(m) if n != j])


def solve(m, data, parity, lost):
    """Solves the parity formula for the data symbols `lost`. `data` and `parity`: what is known, index -> row."""
    size = len(next(iter(parity.values())))
    matrix = []
    for j in sorted(parity)[:len(lost)]:
        known = combine([(1, parity[j])] + [(weight(m, j, i), row) for i, row in data.items()])
        matrix.append(([weight(m, j, i) for i in lost], known.to_bytes(size, 'big')))
    for c in range(len(lost)):  # Gauss-Jordan; every square part of this matrix is regular (the code is MDS)
        pivot = next(r for r in range(c, len(lost)) if matrix[r][0][c])
        matrix[c], matrix[pivot] = matrix[pivot], matrix[c]
        scale = TIMES[inv(matrix[c][0][c])]
        matrix[c] = ([scale[a] for a in matrix[c][0]], matrix[c][1].translate(scale))
        for r in range(len(lost)):
            f = matrix[r][0][c]
            if r != c and f:
                left = [a ^ mul(f, b) for a, b in zip(matrix[r][0], matrix[c][0])]
                matrix[r] = (left, combine([(1, matrix[r][1]), (f, matrix[c][1])]).to_bytes(size, 'big'))
    return {i: matrix[c][1] for c, i in enumerate(lost)}


def errors(s, erased=()):
    """Position -> error, from the syndromes of a codeword; None if there are too many. Berlekamp-Massey and Forney."""
    m, f = len(s), len(erased)
    locator = [1]
    for x in erased:
        locator = [a ^ mul(b, x ^ 255) for a, b in zip(locator + [0], [0] + locator)]
    before, length = locator, f
    for r in range(f, m):
        delta = 0
        for i in range(min(r + 1, len(locator))):
            if locator[i] and s[r - i]:
                delta ^= EXP[LOG[locator[i]] + LOG[s[r - i]]]
        before = [0] + before
        if delta:
            pad = len(before) - len(locator)
            following = [a ^ mul(delta, b) for a, b in zip(locator + [0] * pad, before + [0] * -pad)]
            if 2 * length <= r + f:
                length, before = r + 1 + f - length, [mul(inv(delta), a) for a in locator]
            locator = following
    while locator[-1] == 0:
        locator.pop()
    if len(locator) - 1 != length or 2 * length - f > m:
        return None

    def everywhere(polynomial):  # its value at X^-1, for every position
        return combine(zip(polynomial, INVERSE_POWER)).to_bytes(255, 'big')
    values = everywhere(locator)
    found = [x for x in range(255) if values[x] == 0]
    if len(found) != length:
        return None
    omega = [0] * length
    for i, a in enumerate(locator):
        for j in range(length - i):
            omega[i + j] ^= mul(a, s[j])
    derivative = [a if i % 2 else 0 for i, a in enumerate(locator)][1:]
    above, below = everywhere(omega), everywhere(derivative)
    return {x: mul(x ^ 255, mul(above[x], inv(below[x]))) for x in found}


def correct(versions, m, suspects):
    """Corrects rows column by column. `versions`: one or two lists of rows by x, where only `suspects` may be wrong."""
    width, suspects = len(versions[0][0]), set(suspects)
    syndromes = [[combine((EXP[LOG[x ^ 255] * n % 255], row) for x, row in enumerate(rows)).to_bytes(width, 'big')
                  for n in range(m)] for rows in versions]
    out = [bytearray(row) for row in versions[0]]
    for j, columns in enumerate(zip(*(zip(*s) for s in syndromes))):
        tries = [(v, ()) for v in range(len(versions))]
        if len(versions) == 2 and any(columns[0]):
            differ = [x for x in suspects if versions[0][x][j] != versions[1][x][j]]
            tries += [(0, differ)] if 0 < len(differ) <= m else []
        for v, erased in tries:
            wrong = errors(columns[v], erased) if any(columns[v]) else {}
            if wrong is not None and suspects.issuperset(wrong):
                break
        else:
            return None
        for x in suspects if v else wrong:
            out[x][j] = versions[v][x][j] ^ wrong.get(x, 0)
    return [bytes(row) for row in out]


# --- Hashes, HKDF, Argon2id (RFC 9106), AES-256-GCM.

def H(x):
    return hashlib.blake2b(x).digest()[:32]


def hkdf(ikm, salt, info):
    return hmac.digest(hmac.digest(salt, ikm, 'sha512'), info + b'\1', 'sha512')[:32]


def permutation():
    """The permutation P of Argon2, on 16 words of a list. Its 8 rounds are written out, as calls are dear in Python."""
    half = 'A=(A+B+2*(A&L)*(B&L))&W;D^=A;D=D>>{0}|D<<64-{0}&W\n'
    code = ''
    for a, b, c, d in [(i, 4 + i, 8 + i, 12 + i) for i in range(4)] + \
                      [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)]:
        for first, second, third, by in (a, b, d, 32), (c, d, b, 24), (a, b, d, 16), (c, d, b, 63):
            step = half.format(by).replace('A', f'v{first}').replace('B', f'v{second}').replace('D', f'v{third}')
            code += '  ' + step
    names = ','.join(f'v{i}' for i in range(16))
    scope = {}
    exec(f'def P(v, at, L=2**32-1, W=2**64-1):\n  {names} = v[at]\n{code}  v[at] = {names}\n', scope)
    return scope['P']


@functools.lru_cache(None)
def argon2id(password, salt, t, m, p, length=32):
    def le(*numbers):
        return struct.pack(f'<{len(numbers)}I', *numbers)

    def long_hash(x, n):
        if n <= 64:
            return hashlib.blake2b(le(n) + x, digest_size=n).digest()
        v, out = hashlib.blake2b(le(n) + x).digest(), b''
        while n > 64:
            out, n = out + v[:32], n - 32
            v = hashlib.blake2b(v, digest_size=min(n, 64)).digest()
        return out + v

    P, words = permutation(), struct.Struct('<128Q')
    rows = [slice(16 * i, 16 * i + 16) for i in range(8)]

    def xor(*blocks):
        return functools.reduce(lambda a, b: a ^ int.from_bytes(b, 'little'), blocks, 0).to_bytes(1024, 'little')

    def compress(a, b):
        r = xor(a, b)
        v = list(words.unpack(r))
        for at in rows:
            P(v, at)
        # the columns are of pairs of words: bring them together, and back
        v = [v[16 * j + 2 * i + e] for i in range(8) for j in range(8) for e in (0, 1)]
        for at in rows:
            P(v, at)
        return xor(r, words.pack(*[v[16 * j + 2 * i + e] for i in range(8) for j in range(8) for e in (0, 1)]))

    seed = le(p, length, m, t, 0x13, 2, len(password)) + password + le(len(salt)) + salt + le(0, 0)
    seed = hashlib.blake2b(seed).digest()
    quarter = m // (4 * p)
    lane_length = 4 * quarter
    B = [[long_hash(seed + le(i, lane), 1024) for i in (0, 1)] + [bytes(1024)] * (lane_length - 2) for lane in range(p)]
    for turn, part, lane in ((a, b, c) for a in range(t) for b in range(4) for c in range(p)):
        fixed = turn == 0 and part < 2  # the half pass whose references do not depend on the data
        for i in range(2 if turn == part == 0 else 0, quarter):
            at = part * quarter + i
            if fixed:
                if i % 128 == 0 or at == 2:
                    count = words.pack(turn, lane, part, lane_length * p, t, 2, i // 128 + 1, *[0] * 121)
                    addresses = words.unpack(compress(bytes(1024), compress(bytes(1024), count)))
                j = addresses[i % 128]
            else:
                j = int.from_bytes(B[lane][at - 1][:8], 'little')
            source = lane if turn == part == 0 else (j >> 32) % p
            area = (part if turn == 0 else 3) * quarter + (i - 1 if source == lane else -(i == 0))
            back = area * ((j & 0xFFFFFFFF) ** 2 >> 32) >> 32
            start = 0 if turn == 0 else (part + 1) * quarter
            block = compress(B[lane][at - 1], B[source][(start + area - 1 - back) % lane_length])
            B[lane][at] = xor(block, B[lane][at]) if turn else block
    return long_hash(xor(*(lane[-1] for lane in B)), length)


def aes_gcm(key, nonce, aad, sealed):
    """The plaintext, or None if the tag does not fit."""
    name = ctypes.util.find_library('crypto')
    if not name:
        raise Refused('OpenSSL 3 (libcrypto) was not found.', 2)
    c = ctypes.CDLL(name)
    c.EVP_CIPHER_CTX_new.restype = c.EVP_aes_256_gcm.restype = ctypes.c_void_p
    context, size, text = ctypes.c_void_p(c.EVP_CIPHER_CTX_new()), ctypes.c_int(), sealed[:-16]
    out = ctypes.create_string_buffer(len(text) + 16)
    good = c.EVP_DecryptInit_ex(context, ctypes.c_void_p(c.EVP_aes_256_gcm()), None, key, nonce) == 1 \
        and c.EVP_DecryptUpdate(context, None, ctypes.byref(size), aad, len(aad)) == 1 \
        and c.EVP_DecryptUpdate(context, out, ctypes.byref(size), text, len(text)) == 1 \
        and c.EVP_CIPHER_CTX_ctrl(context, 0x11, 16, sealed[-16:]) == 1 \
        and c.EVP_DecryptFinal_ex(context, ctypes.byref(ctypes.create_string_buffer(16)), ctypes.byref(size)) == 1
    c.EVP_CIPHER_CTX_free(context)
    return out.raw[:len(text)] if good else None


# --- Sections 3 to 5: pages, records, the order, blocks.

Page = namedtuple('Page', 'at type copy length file seq L flags layout i n hash content clean')


def shape(L):
    """Row length and number of data rows of a payload."""
    row = next(r for r in (512, 1024, 2048, 4096) if 239 * r >= L)
    return row, ceil(L, row)


def order(layout, count, last):
    """(type, copy, sequence, offset) of every record; in split layout the second file follows the first."""
    out, at = [], 0

    def put(type, copy, seq, length=PAGE):
        nonlocal at
        out.append((type, copy, seq, at))
        at += length

    def data(copy, i):
        row, k = shape(last if i == count - 1 else FULL)
        put(DATA, copy, i, ceil(PAGE + (k + 16) * row, PAGE) * PAGE)

    def index(copy, g, n):
        if count > 1:
            rows = shape(last if g * GROUP + n == count else FULL)[1] + 16
            put(INDEX, copy, g, ceil(8 + 32 * (n + parities(n)) + 4 * (rows + 255 * (n > 1)), BODY) * PAGE)

    def late(i):  # B'(i)
        data(1, i)
        if i % GROUP == GROUP - 1 or i == count - 1:
            index(1, i // GROUP, i % GROUP + 1)
    for copy in (0, 1) if layout == 2 else (0,):
        for g in range(ceil(count, GROUP)):
            n = min(GROUP, count - g * GROUP)
            put(HEADER, copy, g)
            for i in range(g * GROUP, g * GROUP + n):
                data(copy, i)
                if layout == 0 and i >= 16:
                    late(i - 16)
            for j in range(parities(n)):
                put(PARITY, copy, 256 * g + j, 1 << 20)
            index(copy, g, n)
        put(END, copy, count)
    if layout != 2:
        for i in range(0 if layout else max(0, count - 16), count):
            late(i)
        put(END, 1, count)
    return out


def parities(n):
    return 0 if n == 1 else ceil(n * 8, GROUP)


class Container:
    def __init__(self, data):
        self.data, self.opened, self.healed, self.newer = data, {}, False, False
        self.scan()
        self.collect()
        self.locate()

    def bytes(self, at, size):
        return self.data[at:at + size] if at >= 0 else b''

    @staticmethod
    def fits(content):
        return content[:8] == MAGIC and zlib.crc32(content[:2284]) == int.from_bytes(content[2284:], 'big')

    def page(self, at):
        """The page at this offset, corrected if need be, or None."""
        if at not in self.opened:
            raw, fits, self.opened[at] = self.bytes(at, PAGE), False, None
            content = raw[:2288]
            if len(raw) == PAGE:
                clean = fits = self.fits(content)
                if not fits:  # codeword j is column j of 112 + 143 rows of 16 bytes
                    rows = [raw[start:start + 16] for start in (*range(2288, 4080, 16), *range(0, 2288, 16))]
                    rows = correct([rows], 112, range(255))
                    content = b''.join(rows[112:]) if rows else b''
                    fits = self.fits(content)
            if fits and content[8] > 1:
                self.newer = True
            elif fits:
                f = struct.unpack_from('>10xBBI32sQ8xI4xB2xB4xHH4x32s', content)
                self.opened[at] = Page(at, *f, content, clean)
        return self.opened[at]

    def scan(self):
        """Finds pages: by their magic at either end, then by walking on from each record over its length."""
        at = self.data.find(MAGIC)
        while at >= 0:
            if not self.opened.get(at - 4080) and not self.page(at):
                self.page(at - 4080)
            at = self.data.find(MAGIC, at + 1)
        self.page(0)
        todo = [p for p in self.opened.values() if p]
        for p in todo:
            following = p.at + p.length - PAGE * p.i
            if following not in self.opened and self.page(following):
                todo.append(self.page(following))
        if not todo:
            raise Refused('This file needs a newer reader.' if self.newer else 'No page of a .dbs file was found.')
        known = {p.file for p in todo if p.type in (HEADER, END) and H(b'DBS2 file\0' + self.body(p)[:96]) == p.file}
        first = self.page(0) or self.page(len(self.data) - PAGE)
        votes = Counter(p.file for p in todo if p.file in known or not known)
        self.file = first.file if first and first.file in votes else votes.most_common(1)[0][0]
        self.layout = next(p.layout for p in todo if p.file == self.file)

    @staticmethod
    def body(p):
        start = 56 if p.type == END else 0
        return p.content[128 + start:2284]

    def hash_of(self, type, seq, flags, payload):
        return H(b'DBS2 block\0' + self.file + struct.pack('>BQBI', type, seq, flags, len(payload)) + payload)

    def collect(self):
        """Bodies, row tables and hashes out of the pages of this file."""
        pages = sorted(p for p in self.opened.values() if p and p.file == self.file)
        self.records = {(p.type, p.copy, p.seq): p.at - PAGE * p.i for p in reversed(pages)}
        self.tables, self.hashes = defaultdict(set), defaultdict(set)
        slices, self.bodies, before = defaultdict(dict), defaultdict(list), []
        for p in pages:
            if p.type in (DATA, PARITY):
                self.tables[p.type, p.seq].add(p.content[128:1148])
                self.hashes[p.type, p.seq].add(p.hash)
                before.append(p)
            else:
                part = slices[p.type, p.seq, p.flags, p.hash, p.L]
                part[p.i] = p.content[128:2284]
                body = b''.join(part[i] for i in sorted(part))[:p.L]
                if len(part) == p.n and self.hash_of(p.type, p.seq, p.flags, body) == p.hash:
                    self.bodies[p.type].append((p.seq, body))
        ends = [struct.unpack_from('>QQ', body) for _, body in self.bodies[END]]
        ends += [(p.seq + 1, p.seq * FULL + p.L) for p in before if p.type == DATA and p.flags & 1]
        totals = [(g, int.from_bytes(body[:8], 'big')) for g, body in self.bodies[INDEX]]
        ends += [(g * GROUP + ceil(total, FULL), g * GROUP * FULL + total) for g, total in sorted(totals, reverse=True)]
        # not authenticated yet: it must at least be possible
        ends = [(n, total) for n, total in ends if n <= len(self.data) // PAGE and 21 <= total - (n - 1) * FULL <= FULL]
        if not ends:
            raise Refused('Nothing is left that tells how many blocks there are.')
        self.count, self.last = ends[0][0], ends[0][1] - (ends[0][0] - 1) * FULL
        # a file of one block has no INDEX and no following page, but the chain in END is a hash of the block's hash
        self.chains = {body[24:56] for _, body in self.bodies[END]} if self.count == 1 else set()
        for g, body in self.bodies[INDEX]:
            n = min(GROUP, max(0, self.count - g * GROUP))
            keys = [(DATA, g * GROUP + i) for i in range(n)] + [(PARITY, 256 * g + j) for j in range(parities(n))]
            for i, key in enumerate(keys):
                self.hashes[key].add(body[8 + 32 * i:40 + 32 * i])
            at = 8 + 32 * len(keys)
            for key in keys[n - 1:n] + keys[n:][-1:]:  # the row tables of the last block and of the last parity block
                rows = shape(self.last if key == (DATA, self.count - 1) else FULL)[1] + 16
                self.tables[key].add(body[at:at + 4 * rows])
                at += 4 * rows
        for p in before:  # the copies of "the previous block"
            if p.type == DATA or p.seq % 256:
                key = (p.type, p.seq - 1)
            else:
                key = (DATA, min(p.seq // 256 * GROUP + GROUP, self.count) - 1)
            if key[1] >= 0:
                self.tables[key].add(p.content[1148:2168])
                self.hashes[key].add(p.content[2168:2200])

    def locate(self):
        """Where each record may stand: where its page was found, or shifted as the records around it are."""
        records, self.places = order(self.layout, self.count, self.last), defaultdict(list)
        for listing in records, records[::-1]:
            shift = 0
            for type, copy, seq, offset in listing:
                own = self.records.get((type, copy, seq))
                # also if it was found: where bytes were lost or added within a record, its rows are shifted in two ways
                candidates = [offset + shift] if own is None else [own, offset + shift]
                shift = shift if own is None else own - offset
                places = self.places[type, copy, seq]
                places += [at for at in candidates if at not in places]
        for *key, offset in records:
            own = self.records.get(tuple(key))
            page = self.page(own) if own is not None else any(map(self.page, self.places[tuple(key)]))
            self.healed |= own != offset or not page or not page.clean
        self.collect()

    @functools.lru_cache(1)
    def group(self, g):
        blocks = range(g * GROUP, min(g * GROUP + GROUP, self.count))
        parity = range(256 * g, 256 * g + parities(len(blocks)))
        return [Block(self, DATA, i) for i in blocks], [Block(self, PARITY, seq) for seq in parity]

    def rebuild(self, g):
        """Outer parity, 512 bytes of all blocks at a time (row lengths are multiples of that), in turns with rows."""
        data, parity = self.group(g)
        for b in data + parity:
            b.read()
        progress = True
        while progress and not all(b.payload for b in data):
            progress = False
            for c in range(FULL // 512):
                pieces = [b.piece(c) for b in data]
                lost = [i for i, piece in enumerate(pieces) if piece is None]
                checks = {j: b.piece(c) for j, b in enumerate(parity) if b.piece(c)}
                if 0 < len(lost) <= len(checks):
                    known = {i: piece for i, piece in enumerate(pieces) if piece}
                    for i, piece in solve(8, known, checks, lost).items():
                        data[i].pieces[c] = piece
                        progress = True
            for b in data + parity:
                b.merge()

    def payload(self, i):
        block = self.group(i // GROUP)[0][i % GROUP]
        if not block.read():
            self.rebuild(i // GROUP)
        if not block.payload:
            raise Refused(f'Block {i} is beyond repair.')
        return block.payload


class Block:
    """A DATA or PARITY block, out of all its copies."""
    def __init__(self, container, type, seq):
        self.file, self.key, self.payload, self.rows, self.pieces = container, (type, seq), None, None, {}
        final = type == DATA and seq == container.count - 1
        self.L, self.flags = (container.last, 1) if final else (FULL, 0)
        self.row, self.k = shape(self.L)
        self.places = container.places[type, 0, seq] + container.places[type, 1, seq]

    def accept(self, payload):
        found, chain = self.file.hash_of(*self.key, self.flags, payload), b'DBS2 chain\0' + self.file.file
        if found in self.file.hashes[self.key] or H(chain + found) in self.file.chains:
            self.payload = payload
        return self.payload is not None

    def read(self):
        """Copy A, else copy B, else both together."""
        if self.rows is None:
            self.rows = {}
            for at in self.places:
                if self.accept(self.file.bytes(at + PAGE, self.L)):
                    return self.payload
                self.file.healed = True
            for r, at in itertools.product(range(self.k + 16), self.places):
                row = self.stored(at, r)
                crc = struct.pack('>I', zlib.crc32(row))
                if any(table[4 * r:4 * r + 4] == crc for table in self.file.tables[self.key]):
                    self.rows[r] = row
            self.by_rows() or self.by_columns()
        return self.payload

    def stored(self, at, r):
        return self.file.bytes(at + PAGE + r * self.row, self.row).ljust(self.row, b'\0')

    def by_rows(self):
        rows = {r: row for r, row in self.rows.items() if r < self.k}
        parity = {r - self.k: row for r, row in self.rows.items() if r >= self.k}
        lost = [r for r in range(self.k) if r not in rows]
        if len(lost) > len(parity):
            return False
        if lost:
            rows.update(solve(16, rows, parity, lost))
        return self.accept(b''.join(rows[r] for r in range(self.k))[:self.L])

    def by_columns(self):
        symbols = [*range(self.k, self.k + 16), *range(self.k)]
        suspects = [x for x, r in enumerate(symbols) if r not in self.rows]
        versions = [[self.rows.get(r) or self.stored(at, r) for r in symbols] for at in self.places]
        for pair in itertools.combinations(versions, min(2, len(versions))):
            rows = correct(pair, 16, suspects)
            if rows and self.accept(b''.join(rows[16:])[:self.L]):
                break

    def piece(self, c):
        """Bytes 512c.. of the payload, or None."""
        r, start = divmod(512 * c, self.row)
        if self.payload or r >= self.k:
            return (self.payload or b'')[512 * c:512 * c + 512].ljust(512, b'\0')
        return self.rows[r][start:start + 512] if r in self.rows else self.pieces.get(c)

    def merge(self):
        """Takes what the outer parity gave."""
        n = self.row // 512
        for r in range(self.k):
            if not self.payload and r not in self.rows and all(r * n + e in self.pieces for e in range(n)):
                self.rows[r] = b''.join(self.pieces[r * n + e] for e in range(n))
        return self.payload or self.by_rows()


# --- Sections 6 and 7: keys and segments.

def payload_key(container, passphrase):
    bodies = {body for _, body in container.bodies[HEADER]} | {body[56:] for _, body in container.bodies[END]}
    bodies = [body for body in bodies if H(b'DBS2 file\0' + body[:96]) == container.file]
    if not bodies:
        raise Refused('The keys are lost: no HEADER and no END can be read.')
    for body in sorted(bodies, key=lambda body: body[96:100], reverse=True):
        if int.from_bytes(body[8:10], 'big') != 1:
            raise Refused('This file uses an unknown suite.', 2)
        slots = [body[at:at + 120] for at in range(104, 104 + 120 * body[100], 120)]
        for slot in [slot for slot in slots if slot[0] == 1][:4]:
            t, m, p = struct.unpack_from('>III', slot, 4)
            if not (1 <= t <= 16 and 8192 <= m <= 1 << 20 and 1 <= p <= 16 and t * m <= 4 << 20):
                raise Refused('The Argon2id parameters of a slot are out of bounds.')
            ikm = argon2id(passphrase, slot[16:32], t, m, p)
            if not hmac.compare_digest(hkdf(ikm, container.file, b'DBS2 slot commit'), slot[32:64]):
                continue
            wrap, aad = hkdf(ikm, container.file, b'DBS2 slot wrap'), b'DBS2 slot\0' + container.file + slot[:64]
            key, salt = aes_gcm(wrap, bytes(12), aad, slot[64:112]), body[32:64]
            if key and hkdf(key, salt, b'DBS2 commit') == body[64:96] and hmac.compare_digest(
                    hmac.digest(hkdf(key, salt, b'DBS2 header'), body[:-32], 'sha512')[:32], body[-32:]):
                return hkdf(key, salt, b'DBS2 payload')
    raise Refused('Wrong passphrase.', 12)


def segments(container, key):
    """The stream, in pieces whose tags verified."""
    for i in range(container.count):
        nonce = struct.pack('>3xQB', i, i == container.count - 1)
        text = aes_gcm(key, nonce, container.file, container.payload(i))
        if text is None:
            raise Refused(f'Block {i} was tampered with: its hash fits, but not its tag.')
        yield text[4:]


# --- Section 8: the stream.

def frames(pieces):
    """(offset, type, flags, stream id, raw body) of each frame."""
    buffer, offset, ordinal = bytearray(), 0, 0
    for piece in pieces:
        buffer += piece
        at = 0
        while len(buffer) - at >= 24:
            type, codec, flags, stream, raw, coded, number = struct.unpack_from('>BBHIIIQ', buffer, at)
            if number != ordinal or max(raw, coded) > 2 << 20 or codec > 2:
                raise Refused(f'Frame {ordinal} is not well-formed.')
            if len(buffer) - at - 24 < coded:
                break
            body = bytes(buffer[at + 24:at + 24 + coded])
            if codec == 1:
                body = zlib.decompressobj(-15).decompress(body, raw + 1)
            elif codec == 2:
                from compression import zstd  # Python 3.14
                body = zstd.ZstdDecompressor().decompress(body, raw + 1)
            if len(body) != raw:
                raise Refused(f'The body of frame {ordinal} does not inflate to its length.')
            yield offset + at, type, flags, stream, body
            at, ordinal = at + 24 + coded, ordinal + 1
        del buffer[:at]
        offset += at
    if buffer or offset % 512:
        raise Refused('The stream does not end with a frame, or not at a multiple of 512 bytes.')


class Item:
    """A table or file while it is written: counts and hashes what passes."""
    def __init__(self, path):
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        self.path, self.part, self.out = path, path + '.part', open(path + '.part', 'wb')
        self.hash, self.size, self.rows = hashlib.blake2b(), 0, 0

    def write(self, data):
        self.out.write(data)
        self.hash.update(data)
        self.size += len(data)
        self.rows += data.count(b'\n')

    def check(self, end, name):
        self.out.close()
        if end.get('incomplete'):
            print(f'{self.path} is incomplete: {end["incomplete"]}', file=sys.stderr)
        if self.hash.hexdigest()[:64] != end['hash'] or getattr(self, name) != end[name]:
            raise Refused(f'{self.path}: its {name} or hash does not fit.')


def extract(pieces, output, dump):
    """Writes the one file of a sealed stream to `output`, or all of a database backup into the folder `dump`."""
    items, counts, schema, more, end, last = {}, Counter(), b'', 0, None, b''

    def begin(stream, *path):
        if stream in items:
            raise Refused(f'Stream {stream} begins twice.')
        items[stream] = Item(output or os.path.join(dump, *path))
        return items[stream]

    for ordinal, (offset, type, flags, stream, body) in enumerate(frames(pieces)):
        if type == 1:
            schema, more = (schema if more else b'') + body, flags & 1  # it comes twice
            if not more:
                kind = json.loads(schema)['kind']
                if (kind == 'stream') != bool(output):
                    raise Refused(f'This file holds a {kind}: use {"--output" if kind == "stream" else "--dump"}.', 2)
        elif type == 2:
            (items.get(stream) or begin(stream, f'table-{stream}')).write(body)
        elif type == 3:
            about = json.loads(body)
            parts = [quote(part, safe=' ') for part in [about['kind'], about['root'], *about['path'].split('/')]]
            begin(stream, 'files', *(part + '%' if part in ('.', '..') else part for part in parts if part))
        elif type == 4:
            items[stream].write(body)
        elif type == 5:
            items[stream].check(json.loads(body), 'size')
            counts.update(files=1, bytes=items[stream].size)
        elif type == 6:
            table = items.get(stream) or begin(stream, f'table-{stream}')
            table.check(json.loads(body), 'rows')
            counts.update(rows=table.rows)
        elif type == 7:
            for entry in map(json.loads, body.splitlines()[1:]):
                if entry['kind'] == 'entity':
                    items[entry['stream']].path = os.path.join(dump, quote(entry['name'], safe=' ') + '.ndjson')
        elif type == 8:
            counts.update(skipped=1)
            print('Skipped in the backup: ' + body.decode(), file=sys.stderr)
        elif type == 9:
            end = json.loads(body)
            counts.update(frames=ordinal)
            if any(end[name] != counts[name] for name in ('rows', 'files', 'bytes', 'skipped', 'frames')):
                raise Refused('The counts of END do not fit.')
            footer = struct.pack('>Q', offset) + b'DBS2TAIL'
        elif type == 10:
            last = body[-16:]
        elif type < 128:
            raise Refused(f'Frames of type {type} are unknown to this reader.', 2)
    if not end or last != footer or not all(item.out.closed for item in items.values()):
        raise Refused('The stream has no END: it was not completed.')
    for item in items.values():
        os.replace(item.part, item.path)
    if dump:
        with open(os.path.join(dump, 'schema.json'), 'wb') as out:
            out.write(schema)


def main(arguments=None):
    parser = argparse.ArgumentParser(description='Reads a .dbs file, whole or damaged.')
    parser.add_argument('file', nargs='+')
    parser.add_argument('--passphrase-file', required=True)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument('--output', help='where the bytes of a sealed stream go')
    target.add_argument('--dump', help='the folder for a database backup')
    options = parser.parse_args(arguments)
    try:
        with open(options.passphrase_file, 'rb') as f:
            passphrase = re.sub(b'\r?\n$', b'', f.read()).decode('utf-8', 'surrogateescape')
            passphrase = unicodedata.normalize('NFC', passphrase).encode('utf-8', 'surrogateescape')
        if len(options.file) == 1 and os.path.getsize(options.file[0]):
            with open(options.file[0], 'rb') as f:
                data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            data = b''.join(open(name, 'rb').read() for name in options.file)
        container = Container(data)
        extract(segments(container, payload_key(container, passphrase)), options.output, options.dump)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.code
    except (ValueError, KeyError) as error:
        print(f'The stream is not well-formed: {error!r}', file=sys.stderr)
        return 6
    except (OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    return 4 if container.healed else 0


if __name__ == '__main__':
    sys.exit(main())
