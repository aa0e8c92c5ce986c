/** From an upload to its restore: kept, tried, and, when that was confirmed, done. */
import {
  type BackupError,
  ConfigError,
  LockError,
  NoKeyMatchError,
  RequestError,
  RestoreError,
  WrongPassphraseError,
} from '../errors.ts';
import type { OrmLike } from '../orm/orm-like.ts';
import { restoreBackup } from '../restore.ts';
import { lockOf, settingsOf } from '../run.ts';
import type { ByteSource } from '../sinks/sink.ts';
import type { RestoreResult } from '../types.ts';
import { type Answer, errorJson, problemOf, statusOf } from './answers.ts';
import { type Fields, readFields, readUpload, required } from './forms.ts';
import type { Settled } from './options.ts';
import { type Choices, CONFIRMATION, restoredPage, uploadPage } from './pages.ts';
import { tokenOf, type Visit } from './session.ts';
import { type Upload, Uploads } from './uploads.ts';

export class Restores {
  readonly #orm: OrmLike | OrmLike[];
  readonly #settled: Settled<never>;
  readonly #uploads: Uploads;

  constructor(orm: OrmLike | OrmLike[], settled: Settled<never>) {
    this.#orm = orm;
    this.#settled = settled;
    this.#uploads = new Uploads(settled.keepUploads);
  }

  close(): Promise<void> {
    return this.#uploads.close();
  }

  /** Takes a file in, and tries it: the answer has the report, and the form for what is next. */
  async upload(visit: Visit): Promise<Answer> {
    const { request, session } = visit;
    let upload: Upload | undefined;
    try {
      const { fields } = await readUpload(request, this.#settled, async (before, { name, stream }) => {
        session.check(tokenOf(request, before));
        required(before, 'passphrase');
        choicesOf(before);
        upload = await this.#uploads.keep(session.id, name, stream);
      });
      return await this.#try(visit, upload!, fields);
    } catch (error) {
      // Its token was never told to anybody.
      if (upload) await this.#uploads.discard(upload.token, session.id);
      throw error;
    }
  }

  /** What the form beside an upload asks for. */
  async act(visit: Visit): Promise<Answer> {
    const { request, session, site } = visit;
    const fields = await readFields(request, this.#settled);
    session.check(tokenOf(request, fields));
    const upload = this.#uploads.find(required(fields, 'upload'), session.id);
    const action = fields.get('action') ?? 'check';
    if (action === 'check') return this.#try(visit, upload, fields);
    if (action === 'restore') return this.#restore(visit, upload, fields);
    if (action !== 'discard')
      throw new RequestError('ERR_WEB_FORM', 'The field "action" is none of check, restore and discard.');
    await this.#uploads.discard(upload.token, session.id);
    return { status: 303, page: null, json: { type: 'discarded' }, headers: { Location: site.base || '/' } };
  }

  async #try(visit: Visit, upload: Upload, fields: Fields): Promise<Answer> {
    return this.#about(visit, upload, fields, async (choices) => {
      const result = await this.#run(visit, upload, fields, { ...choices, dryRun: true });
      upload.checked = result;
      return {
        status: result.refused ? 409 : 200,
        page: uploadPage(visit.site, upload, choices),
        json: { type: 'upload', ...uploadJson(upload), restore: result },
      };
    });
  }

  async #restore(visit: Visit, upload: Upload, fields: Fields): Promise<Answer> {
    return this.#about(visit, upload, fields, async (choices) => {
      if (fields.get('confirmation')?.trim() !== CONFIRMATION)
        throw new RequestError('ERR_WEB_UNCONFIRMED', `Nothing was restored. Type ${CONFIRMATION} to confirm it.`, {
          facts: { field: 'confirmation' },
        });
      const result = await this.#run(visit, upload, fields, choices);
      await this.#uploads.discard(upload.token, visit.session.id);
      return { status: 200, page: restoredPage(visit.site, result), json: result };
    });
  }

  /** What does not speak against the file itself is said beside the upload, which is kept for another try. */
  async #about(
    visit: Visit,
    upload: Upload,
    fields: Fields,
    work: (choices: Choices) => Promise<Answer>,
  ): Promise<Answer> {
    const choices = choicesOf(fields);
    try {
      return await work(choices);
    } catch (error) {
      visit.request.signal.throwIfAborted();
      if (!isMendable(error)) {
        await this.#uploads.discard(upload.token, visit.session.id);
        throw error;
      }
      return {
        status: statusOf(error),
        page: uploadPage(visit.site, upload, choices, problemOf(error)),
        json: { ...errorJson(error), ...uploadJson(upload) },
      };
    }
  }

  #run(
    { request, session }: Visit,
    upload: Upload,
    fields: Fields,
    how: Choices & { dryRun?: boolean },
  ): Promise<RestoreResult> {
    const passphrase = required(fields, 'passphrase');
    const { config, onEvent } = this.#settled;
    const settings = settingsOf(this.#orm, { config });
    return this.#uploads.use(upload.token, session.id, async (source: ByteSource) => {
      const lease = await lockOf(this.#orm, settings, request.signal);
      try {
        return await restoreBackup(this.#orm, source, passphrase, {
          ...how,
          config: settings,
          signal: AbortSignal.any([request.signal, ...(lease ? [lease.signal] : [])]),
          ...(onEvent ? { onEvent } : {}),
        });
      } finally {
        await lease?.release();
      }
    });
  }
}

/** @throws RequestError ERR_WEB_FORM */
function choicesOf(fields: Fields): Choices {
  const mode = fields.get('mode') ?? 'merge';
  if (mode !== 'merge' && mode !== 'flush')
    throw new RequestError('ERR_WEB_FORM', 'The field "mode" is neither merge nor flush.');
  return { mode, allowDrift: fields.has('allowDrift') };
}

function isMendable(error: unknown): error is BackupError {
  const types = [WrongPassphraseError, NoKeyMatchError, RestoreError, LockError, ConfigError, RequestError];
  return types.some((type) => error instanceof type);
}

function uploadJson({ token, name, bytes, expiresAt }: Upload) {
  return { upload: token, name, bytes, expiresAt };
}
