/** What a process took for its work. */

/** Of a process or a part of its life. */
export interface Usage {
  /** Seconds. Of a job: of the work itself, without starting Node and opening the app. */
  wall: number;
  /** Seconds of CPU, all threads. */
  cpu: number;
  /** Peak resident memory of the whole process, bytes. */
  peak: number;
}

export interface Outcome extends Usage {
  result: Record<string, unknown>;
}

/** Starts the clocks. @returns what stops them */
export function usage(): () => Usage {
  const before = process.cpuUsage();
  const start = performance.now();
  return () => {
    const wall = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(before);
    return { wall, cpu: (user + system) / 1e6, peak: process.resourceUsage().maxRSS * 1024 };
  };
}

export async function measured(work: () => Promise<object>): Promise<Outcome> {
  const used = usage();
  const result = await work();
  return { ...used(), result: { ...result } };
}
