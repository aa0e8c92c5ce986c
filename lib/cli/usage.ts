/** Wrong use of the command line. */
import { ConfigError, type ErrorFacts } from '../errors.ts';

/** Exit code 2. */
export function usage(message: string, facts: ErrorFacts = {}): ConfigError {
  return new ConfigError('ERR_CLI_USAGE', message, { facts });
}
