// Resolved from this folder: MikroORM 6 with better-sqlite3 and sqlite3, as an app beside it would import them.
import * as betterSqlite from '@mikro-orm/better-sqlite';
import * as core from '@mikro-orm/core';
import * as migrations from '@mikro-orm/migrations';
import * as sqlite from '@mikro-orm/sqlite';

export { betterSqlite, core, migrations, sqlite };
