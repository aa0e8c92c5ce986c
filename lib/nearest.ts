/** "Did you mean": names that are close to a mistyped one. */

/** Levenshtein's distance, in edits. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/** The known names, nearest first, at most `count`. Case is ignored. */
export function nearestNames(name: string, known: Iterable<string>, count = 3): string[] {
  const wanted = name.toLowerCase().slice(0, 100);
  return [...known]
    .map((one) => [distance(wanted, one.toLowerCase().slice(0, 100)), one] as const)
    .sort((a, b) => a[0] - b[0])
    .slice(0, count)
    .map(([, one]) => one);
}

/** A sentence: `Did you mean "a", "b" or "c"?` */
export function nearest(name: string, known: Iterable<string>): string {
  const quoted = nearestNames(name, known).map((one) => `"${one}"`);
  if (!quoted.length) return 'There is none at all.';
  const last = quoted.pop();
  return `Did you mean ${quoted.length ? `${quoted.join(', ')} or ` : ''}${last}?`;
}
