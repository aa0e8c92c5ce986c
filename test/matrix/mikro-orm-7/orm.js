// Resolved from this folder: MikroORM 7 as an app beside it would import it.
import * as core from '@mikro-orm/core';
import * as decorators from '@mikro-orm/decorators/legacy';
import * as libsql from '@mikro-orm/libsql';
import * as mariadb from '@mikro-orm/mariadb';
import * as migrations from '@mikro-orm/migrations';
import * as mysql from '@mikro-orm/mysql';
import * as postgresql from '@mikro-orm/postgresql';
import * as sql from '@mikro-orm/sql';
import * as sqlite from '@mikro-orm/sqlite';

export { core, decorators, libsql, mariadb, migrations, mysql, postgresql, sql, sqlite };
