// Failing with a sentence, and waiting with a deadline.

/** What a test found wrong, as opposed to a test that broke. */
export class Failure extends Error {}

/** Fails with the sentence unless the condition holds. */
export function check(condition, sentence) {
  if (!condition) throw new Failure(sentence);
}

/**
 * Asks `probe()` until it gives something true, which is returned. After `millis` it fails with `sentence()`.
 * The pause only bounds how often is asked.
 */
export async function until(probe, millis, sentence) {
  const deadline = performance.now() + millis;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > deadline) throw new Failure(await sentence());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Runs a program's `main`, which gives a report; prints it as one line and exits 0, 1 on failure, 2 on bad usage. */
export async function run(usage, parse, main) {
  let options;
  try {
    options = parse();
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${usage}\n`);
    process.exitCode = 2;
    return;
  }
  const report = {};
  try {
    await main(options, report);
  } catch (error) {
    report.failure = error instanceof Failure ? error.message : `the test broke: ${error.stack}`;
    process.stderr.write(`failed: ${report.failure}\n`);
    process.exitCode = 1;
  }
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
