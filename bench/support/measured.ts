/** What a process took for its work. */

export interface Outcome {
  /** Seconds of the work itself, without starting Node and opening the app. */
  wall: number;
  /** Seconds of CPU, all threads. */
  cpu: number;
  /** Peak resident memory of the whole process, bytes. */
  peak: number;
  result: Record<string, unknown>;
}

export async function measured(work: () => Promise<object>): Promise<Outcome> {
  const before = process.cpuUsage();
  const start = performance.now();
  const result = await work();
  const wall = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  const peak = process.resourceUsage().maxRSS * 1024;
  return { wall, cpu: (user + system) / 1e6, peak, result: { ...result } };
}
