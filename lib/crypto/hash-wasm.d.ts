/** The part of hash-wasm that is used. */
declare module 'hash-wasm/dist/argon2.umd.min.js' {
  const argon2: Pick<typeof import('hash-wasm'), 'argon2id'>;
  export default argon2;
}
