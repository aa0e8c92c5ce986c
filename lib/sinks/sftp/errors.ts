/** What SSH and SFTP say, as sentences. A connection fails by a SinkError, whoever uses it: `permanent` says that trying again is pointless. */
import { BackupError, SinkError, SourceError } from '../../errors.ts';

/** Numbers of SSH_FXP_STATUS: draft-ietf-secsh-filexfer-02, section 7, and those of later drafts that servers send. */
export const Status = {
  EOF: 1,
  NO_SUCH_FILE: 2,
  PERMISSION_DENIED: 3,
  FAILURE: 4,
  UNSUPPORTED: 8,
  NO_SUCH_PATH: 10,
  WRITE_PROTECT: 12,
  NO_SPACE: 14,
  QUOTA: 15,
} as const;

/** The number of an answer that says no; nothing for other errors. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof BackupError) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === 'number' ? code : undefined;
}

export function isAbsent(error: unknown): boolean {
  const status = statusOf(error);
  return status === Status.NO_SUCH_FILE || status === Status.NO_SUCH_PATH;
}

/** The connection is gone, or its server cannot be reached for now. */
export function isLost(error: unknown): boolean {
  return error instanceof SinkError && error.code.startsWith('ERR_SSH_') && !error.permanent;
}

export function connectionLost(name: string, why: string, cause?: unknown): SinkError {
  return new SinkError('ERR_SSH_CONNECTION', `The connection to ${name} was lost (${why}). Try again.`, {
    permanent: false,
    facts: { target: name },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** What ssh2 says of a connection that did not come about. @param where `nas (nas.example.org:22)` */
export function connectError(cause: unknown, where: string, name: string): SinkError {
  const { level, message, code } = cause as { level?: string; message: string; code?: unknown };
  const options = { cause, facts: { target: name } };
  if (level === 'agent') {
    return new SinkError(
      'ERR_SSH_AGENT',
      `The ssh-agent for ${where} does not answer (${message}). Start it, or use a key file.`,
      options,
    );
  }
  if (level === 'client-authentication' || /authentication/i.test(message)) {
    return new SinkError(
      'ERR_SSH_AUTH',
      `${where} refuses the user. Check username and key or password of sshTargets.${name}, and authorized_keys there.`,
      options,
    );
  }
  if (level === 'client-timeout' || code === 'ETIMEDOUT') return connectTimeout(where, name, cause);
  // ssh2-sftp-client has codes of its own, which are not those of the system.
  const system = typeof code === 'string' && /^E(?!RR_)/.test(code) ? code : undefined;
  if (level === 'client-socket' || system) {
    return new SinkError(
      'ERR_SSH_UNREACHABLE',
      `${where} cannot be reached (${system ?? message}). Check host and port of sshTargets.${name}.`,
      { ...options, permanent: false },
    );
  }
  if (/lost before handshake|unexpected (end|close)|keepalive timeout|no response/i.test(message)) {
    return connectionLost(name, 'it was closed before the user was let in', cause);
  }
  return new SinkError(
    'ERR_SSH_PROTOCOL',
    `${where} does not speak SFTP as this program does (${message}). Check that the port is an SSH server's, and that it offers SFTP.`,
    options,
  );
}

export function connectTimeout(where: string, name: string, cause?: unknown): SinkError {
  return new SinkError(
    'ERR_SSH_TIMEOUT',
    `${where} did not let the user in in time. Check host and port of sshTargets.${name}, or raise connectTimeoutMs.`,
    { permanent: false, facts: { target: name }, ...(cause === undefined ? {} : { cause }) },
  );
}

/** What a server says of a file that cannot be written. @param full what it has no word for: its disk has no room left */
export function sftpSinkError(error: unknown, name: string, full = false): BackupError {
  if (error instanceof BackupError) return error;
  const status = statusOf(error);
  const { message } = error as Error;
  const options = { cause: error, facts: { path: name } };
  if (full || status === Status.NO_SPACE || status === Status.QUOTA || /no space|quota|disk full/i.test(message)) {
    return new SinkError(
      'ERR_SINK_FULL',
      `There is no space left for ${name}. Nothing was kept; make room, or write elsewhere.`,
      options,
    );
  }
  if (status === Status.PERMISSION_DENIED || status === Status.WRITE_PROTECT)
    return new SinkError('ERR_SINK_DENIED', `${name} may not be written. Check the folder's permissions.`, options);
  if (isAbsent(error))
    return new SinkError('ERR_SINK_NOT_FOUND', `The folder of ${name} does not exist. Create it first.`, options);
  return new SinkError('ERR_SINK_WRITE', `${name} could not be written (${said(error)}). Nothing was kept.`, options);
}

/** What a server says of a file that cannot be read. */
export function sftpSourceError(error: unknown, name: string): BackupError {
  if (error instanceof BackupError) return error;
  const options = { cause: error, facts: { path: name } };
  if (isAbsent(error))
    return new SourceError('ERR_SOURCE_NOT_FOUND', `There is no file ${name}. Check the path.`, options);
  if (statusOf(error) === Status.PERMISSION_DENIED)
    return new SourceError('ERR_SOURCE_DENIED', `${name} may not be read. Check its permissions.`, options);
  return new SourceError('ERR_SOURCE_READ', `${name} could not be read (${said(error)}).`, options);
}

export function sourceReplaced(name: string): SourceError {
  return new SourceError('ERR_SOURCE_REPLACED', `${name} was replaced or removed while it was read. Start again.`, {
    facts: { path: name },
  });
}

function said(error: unknown): string {
  const status = statusOf(error);
  const text = (error as Error).message.replace(/\s+/g, ' ').slice(0, 100);
  return status === undefined ? text : `the server says "${text}", status ${status}`;
}
