/** What settings are held to: names that exist, values of the right kind. A slip of the pen is an error that names the nearest thing. */
import { ConfigError } from './errors.ts';
import { nearest } from './nearest.ts';

/** Refuses anything but an object of these names. @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION */
export function known(value: unknown, names: readonly string[], at: string): void {
  expect(typeof value === 'object' && value !== null && !Array.isArray(value), at, 'an object');
  for (const name of Object.keys(value as object)) {
    if (names.includes(name)) continue;
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_OPTION',
      `There is no option "${name}" in ${at}. ${nearest(name, names)}`,
      { facts: { option: name, at, known: names } },
    );
  }
}

/** @throws ConfigError ERR_CONFIG_INVALID_OPTION "`at` must be `what`." */
export function expect(holds: boolean, at: string, what: string): asserts holds {
  if (holds) return;
  throw new ConfigError('ERR_CONFIG_INVALID_OPTION', `${at} must be ${what}.`, { facts: { option: at } });
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText);
}
