/** `inspectBackup`: what a file is, without a key and without reading all of it. */

import { pageAt } from './container/pages.ts';
import type { ContainerReader } from './container/reader.ts';
import { survival } from './container/survival.ts';
import { readSlot } from './format/key-slot.ts';
import { order } from './format/layout.ts';
import { MAJOR, MINOR, type RecordType, SEGMENT_HEAD, TAG } from './format/limits.ts';
import { withReader } from './sources.ts';
import type { BackupSource, InspectReport, ReadOptions } from './types.ts';

/** Reads every record's page, 4 KiB of each megabyte. @throws as `validateBackup` */
export function inspectBackup(source: BackupSource, options: ReadOptions = {}): Promise<InspectReport> {
  return withReader(source, options, async (reader) => {
    const { extent, fileId, headers } = reader;
    const { count, lastLength } = extent;
    return {
      type: 'inspection',
      source: reader.name,
      bytes: reader.size,
      fileId: fileId.toString('hex'),
      version: `${MAJOR}.${MINOR}`,
      layout: extent.layout,
      blocks: count,
      groups: Math.ceil(count / 128),
      streamBytes: (count - 1) * 978_924 + lastLength - TAG - SEGMENT_HEAD,
      keySlots: headers[0]!.slots
        .map(readSlot)
        .map((slot) => (slot.kind === 'passphrase' ? { kind: slot.kind, kdf: slot.kdf } : { kind: slot.kind })),
      survives: survival(extent),
      health: await pageHealth(reader, options.signal),
    };
  });
}

async function pageHealth(reader: ContainerReader, signal?: AbortSignal): Promise<InspectReport['health']> {
  const health = { pages: 0, intact: 0, healable: 0, missing: 0 };
  const { layout, count } = reader.extent;
  for (const { map, half } of reader.sources) {
    for (const { type, copy, sequence } of order(layout, count, half)) {
      signal?.throwIfAborted();
      health.pages++;
      const page = await pageAt(map.source, map.planned(type as RecordType, copy, sequence));
      if (page?.fields.type !== type || page.fields.sequence !== sequence) health.missing++;
      else if (page.decoded) health.healable++;
      else health.intact++;
    }
  }
  return health;
}
