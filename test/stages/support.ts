/** What the tests of the stages share: input cut in different ways, and everything that comes out. */
import { Readable, type Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Random } from '../../lib/testkit/index.ts';

export const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);

/** Ways to cut bytes: whole, in odd chunks, in chunks of random sizes, byte by byte. */
export const cuts: Record<string, (bytes: Buffer) => Iterable<Buffer>> = {
  whole: (bytes) => [bytes],
  'in chunks of 997': (bytes) => pieces(bytes, () => 997),
  'in random chunks': (bytes) => {
    const random = new Random(seed);
    return pieces(bytes, () => random.pick([1, 2, 23, 24, 25, 511, 4096, 65_537, 978_924, 1 << 20]));
  },
  'byte by byte': (bytes) => pieces(bytes, () => 1),
};

function* pieces(bytes: Buffer, size: () => number): Generator<Buffer> {
  for (let at = 0, n = 0; at < bytes.length; at += n) yield bytes.subarray(at, at + (n = size()));
}

/** Everything that comes out of the last of the stages. @throws whatever one of them fails with */
export async function through<T>(
  input: Iterable<unknown> | AsyncIterable<unknown>,
  ...stages: Transform[]
): Promise<T[]> {
  const out: T[] = [];
  const sink = new Writable({
    objectMode: true,
    write(chunk: T, _encoding, callback) {
      out.push(chunk);
      callback();
    },
  });
  await pipeline([Readable.from(input, { objectMode: true }), ...stages, sink]);
  return out;
}

export async function bytesThrough(input: Iterable<unknown>, ...stages: Transform[]): Promise<Buffer> {
  return Buffer.concat(await through<Buffer>(input, ...stages));
}

/** The error's code. @throws where there is none */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String((error as Error).stack);
  }
  return 'no error';
}
