import 'reflect-metadata';
import { MikroORM } from '@mikro-orm/libsql';
import { NestFactory } from '@nestjs/core';
import { BackupsModule } from './backups.module.ts';

const app = await NestFactory.createApplicationContext(BackupsModule);
// SIGTERM then ends the schedule, closes the database, and the process.
app.enableShutdownHooks();
await app.get(MikroORM).schema.updateSchema({ safe: true });
console.log('ready');
// A real app listens on a port here.
setInterval(() => {}, 60_000);
