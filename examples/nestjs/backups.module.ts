/** Backups by Nest's lifecycle: they begin with the app, and a shutdown stops them before the database is closed. */
import { MikroORM } from '@mikro-orm/libsql';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { type BackupSchedule, backupManager } from 'mikro-orm-dbs';
import config from './mikro-orm.config.ts';

@Injectable()
export class BackupService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  @Inject(MikroORM) private readonly orm!: MikroORM;
  private readonly logger = new Logger('Backups');
  private schedule: BackupSchedule | undefined;

  onApplicationBootstrap(): void {
    this.schedule = backupManager(this.orm).schedule({
      onError: (error) => this.logger.error(error instanceof Error ? error.message : error),
      onEvent: (event) => {
        if (event.type === 'run') this.logger.log(`${event.name}: ${event.rows} rows`);
        if (event.type === 'warning') this.logger.warn(event.message);
      },
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.schedule?.stop();
  }
}

@Injectable()
class Database implements OnApplicationShutdown {
  @Inject(MikroORM) private readonly orm!: MikroORM;

  async onApplicationShutdown(): Promise<void> {
    await this.orm.close();
  }
}

@Module({
  providers: [{ provide: MikroORM, useFactory: () => MikroORM.init(config) }, Database, BackupService],
  exports: [MikroORM, BackupService],
})
export class BackupsModule {}
