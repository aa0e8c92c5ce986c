import { EntitySchema } from '@mikro-orm/core';

export interface Note {
  id: number;
  text: string;
}

export const NoteSchema = new EntitySchema<Note>({
  name: 'Note',
  properties: { id: { type: 'integer', primary: true }, text: { type: 'text' } },
});
