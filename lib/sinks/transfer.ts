/** Whole files from here to a destination and back. What an earlier run left is gone on with where that is possible, and compared before it is believed. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { SinkError, SourceError } from '../errors.ts';
import { lease, recycle, Slot } from '../memory.ts';
import { existsAlready, fileSinkError } from './errors.ts';
import { publishFile, syncFolder } from './file.ts';
import { readFully } from './file-source.ts';
import type { ByteSource, Destination, SinkWriter } from './sink.ts';

const PIECE = 1024 * 1024;
/** Reads under way while the last one is written. */
const AHEAD = 3;
