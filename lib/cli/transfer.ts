/** What `dbs pull` and `dbs push` share. */
import { ExitCode } from './exit-codes.ts';
import type { Library } from './library.ts';
import { type AppFlags, type Session, settingsFor } from './session.ts';
import { transferSummary } from './stored.ts';

export interface TransferFlags extends AppFlags {
  force?: boolean;
}

type TransferOptions = NonNullable<Parameters<Library['pushBackup']>[2]>;

/** @param places those whose URLs may need the app's settings */
export async function transfer(
  session: Session,
  options: TransferFlags,
  places: string[],
  work: (library: Library, options: TransferOptions) => ReturnType<Library['pushBackup']>,
): Promise<ExitCode> {
  const { ctx, out } = session;
  const settings = await settingsFor(session, options, ...places);
  const library = await ctx.library();
  out.resumable = true;
  const report = await work(library, {
    ...settings,
    ...(options.force ? { force: true } : {}),
    signal: ctx.signal,
    onEvent: out.event,
  });
  out.result(report, transferSummary(report));
  return report.healed ? ExitCode.HEALED : ExitCode.OK;
}
