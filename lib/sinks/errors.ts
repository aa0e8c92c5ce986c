/** Failures of places, as sentences: those that all sinks share, and those of the file system. */
import { ConfigError, SinkError, SourceError } from '../errors.ts';

/** What every destination refuses without `force`. */
export function existsAlready(name: string): ConfigError {
  return new ConfigError(
    'ERR_SINK_EXISTS',
    `${name} exists already. Choose another name, or replace it with --force (force: true).`,
    {
      facts: { path: name },
    },
  );
}

/**
 * Names at destinations are single path segments that mean one thing everywhere. Unfinished files end with `.part`, so that no finished one may.
 * @throws ConfigError ERR_SINK_NAME
 */
export function checkName(name: string): string {
  const wrong = name === '' || name === '.' || name === '..' || name.endsWith('.part');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (!wrong && !/[\u0000-\u001f\u007f/\\]/.test(name)) return name;
  throw new ConfigError(
    'ERR_SINK_NAME',
    `${JSON.stringify(name)} cannot be the name of a backup: it must have no slash and no control character, and not end with .part.`,
    { facts: { name } },
  );
}

/** `finish` was asked for before the stream had ended, or after it broke: half a backup gets no name. */
export function notEnded(name: string): SinkError {
  return new SinkError(
    'ERR_SINK_WRITE',
    `${name} could not be finished: not everything was written. Nothing was kept.`,
    {
      facts: { path: name },
    },
  );
}

/** What Node.js says of a file that cannot be written. */
export function fileSinkError(error: unknown, name: string): SinkError {
  const { code } = error as NodeJS.ErrnoException;
  const options = { cause: error, facts: { path: name } };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SinkError(
      'ERR_SINK_FULL',
      `There is no space left for ${name}. Nothing was kept; make room, or write elsewhere.`,
      options,
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new SinkError('ERR_SINK_DENIED', `${name} may not be written. Check the folder's permissions.`, options);
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new SinkError('ERR_SINK_NOT_FOUND', `The folder of ${name} does not exist. Create it first.`, options);
  }
  return new SinkError(
    'ERR_SINK_WRITE',
    `${name} could not be written (${code ?? 'unknown error'}). Nothing was kept.`,
    options,
  );
}

/** What Node.js says of a file that cannot be read. */
export function fileSourceError(error: unknown, path: string): SourceError {
  const { code } = error as NodeJS.ErrnoException;
  const options = { cause: error, facts: { path } };
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new SourceError('ERR_SOURCE_NOT_FOUND', `There is no file ${path}. Check the path.`, options);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new SourceError('ERR_SOURCE_DENIED', `${path} may not be read. Check its permissions.`, options);
  }
  return new SourceError('ERR_SOURCE_READ', `${path} could not be read (${code ?? 'unknown error'}).`, options);
}
